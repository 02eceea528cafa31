//! What the attributes expand to, and what they refuse, pointing where and saying what. That the
//! expansions compile and run is shown by `tests/expansions.rs`.

use proc_macro2::{Delimiter, TokenTree};

use super::*;

fn tokens(source: &str) -> TokenStream {
    source.parse().expect("the test's own source is tokens")
}

/// Reads an item and writes it out again, to compare by what it says and not by how its
/// punctuation was spaced.
fn normal(item: TokenStream) -> String {
    syn::parse2::<syn::Item>(item)
        .expect("an item")
        .to_token_stream()
        .to_string()
}

#[track_caller]
fn assert_expands(kind: Kind, arguments: &str, item: &str, expected: &str) {
    let expanded = expand(kind, tokens(arguments), tokens(item));
    assert_eq!(normal(expanded), normal(tokens(expected)));
}

/// Takes an expansion apart: the errors in it, each as its message and the source text it
/// points at, and the rest.
fn split_errors(expansion: TokenStream) -> (Vec<(String, String)>, String) {
    let (mut errors, mut rest) = (Vec::new(), Vec::new());
    let mut start = None;
    for token in expansion {
        match (&token, start) {
            (TokenTree::Ident(word), _) if word == "compile_error" => start = Some(word.span()),
            (TokenTree::Punct(bang), Some(_)) if bang.as_char() == '!' => {}
            (TokenTree::Group(group), Some(first)) if group.delimiter() == Delimiter::Brace => {
                let message: syn::LitStr = syn::parse2(group.stream()).expect("a message");
                let span = first
                    .join(group.span())
                    .expect("an error points into one source");
                errors.push((message.value(), span.source_text().unwrap_or_default()));
                start = None;
                // Before it stands `::core::`.
                rest.truncate(rest.len() - 5);
            }
            _ => rest.push(token),
        }
    }
    (
        errors,
        rest.into_iter().collect::<TokenStream>().to_string(),
    )
}

#[track_caller]
fn assert_refused(kind: Kind, arguments: &str, item: &str, expected: &[(&str, &str)]) -> String {
    let (errors, rest) = split_errors(expand(kind, tokens(arguments), tokens(item)));
    let errors: Vec<_> = errors
        .iter()
        .map(|(what, at)| (what.as_str(), at.as_str()))
        .collect();
    assert_eq!(errors, expected);
    rest
}

#[test]
fn main_without_arguments() {
    assert_expands(
        Kind::Main,
        "",
        "/// The program.
        #[allow(unused)]
        pub(crate) fn main() -> Result<(), Error> { work()?; Ok(()) }",
        "/// The program.
        #[allow(unused)]
        pub(crate) fn main() -> ::std::process::ExitCode {
            fn main() -> Result<(), Error> { work()?; Ok(()) }
            #[allow(clippy::needless_update)]
            let options = ::ropewalk::__private::MainOptions {
                ..::core::default::Default::default()
            };
            ::ropewalk::__private::main(options, main)
        }",
    );
}

#[test]
fn main_with_all_arguments() {
    assert_expands(
        Kind::Main,
        "stack_size = 524_288usize, crate = my::runtime, workers = 2,",
        "fn main() {}",
        "fn main() {
            fn main() {}
            #[allow(clippy::needless_update)]
            let options = my::runtime::__private::MainOptions {
                workers: ::core::option::Option::Some(2),
                stack_size: ::core::option::Option::Some(524_288usize),
                ..::core::default::Default::default()
            };
            let _ = my::runtime::__private::main(options, main);
        }",
    );
}

#[test]
fn async_main_is_driven_by_block_on() {
    assert_expands(
        Kind::Main,
        "crate = crate",
        "async fn main() -> u8 { #![allow(unused)] answer().await }",
        "fn main() -> ::std::process::ExitCode {
            async fn main() -> u8 { #![allow(unused)] answer().await }
            #[allow(clippy::needless_update)]
            let options = crate::__private::MainOptions {
                ..::core::default::Default::default()
            };
            crate::__private::main(options, || crate::block_on(main()))
        }",
    );
}

#[test]
fn test_keeps_its_attributes_and_knows_its_name() {
    assert_expands(
        Kind::Test,
        "workers = 1",
        r##"#[should_panic(expected = "overboard")]
        #[ignore]
        fn r#loop() { panic!("man overboard") }"##,
        r##"#[::core::prelude::v1::test]
        #[should_panic(expected = "overboard")]
        #[ignore]
        fn r#loop() {
            fn r#loop() { panic!("man overboard") }
            #[allow(clippy::needless_update)]
            let options = ::ropewalk::__private::TestOptions {
                workers: ::core::option::Option::Some(1),
                ..::core::default::Default::default()
            };
            let _ = ::ropewalk::__private::test(
                options,
                ::core::concat!(::core::module_path!(), "::loop"),
                r#loop
            );
        }"##,
    );
}

#[test]
fn a_declared_type_makes_an_exit_code_and_unit_makes_nothing() {
    /// Asserts that with the return type `inside`, the outer function has `outside` and `end`.
    #[track_caller]
    fn assert_returns(inside: TokenStream, outside: &str, end: &str) {
        let expanded = expand(
            Kind::Main,
            TokenStream::new(),
            quote!(fn f() #inside { body() }),
        );
        let (outside, end) = (tokens(outside), tokens(end));
        let expected = quote! {
            fn f() #outside {
                fn f() #inside { body() }
                #[allow(clippy::needless_update)]
                let options = ::ropewalk::__private::MainOptions {
                    ..::core::default::Default::default()
                };
                #end
            }
        };
        assert_eq!(normal(expanded), normal(expected));
    }
    // As a macro's `$type` comes.
    let group = |declared: &str| {
        let group = proc_macro2::Group::new(Delimiter::None, tokens(declared));
        quote!(-> #group)
    };

    let dropped = "let _ = ::ropewalk::__private::main(options, f);";
    for inside in ["", "-> ()", "-> (())"] {
        assert_returns(tokens(inside), "", dropped);
    }
    assert_returns(group("()"), "", dropped);

    let code = "-> ::std::process::ExitCode";
    let handed_on = "::ropewalk::__private::main(options, f)";
    for inside in [
        "-> !",
        "-> ExitCode",
        "-> impl Termination",
        "-> ((),)",
        "-> Unit",
    ] {
        assert_returns(tokens(inside), code, handed_on);
    }
    assert_returns(group("ExitCode"), code, handed_on);
}

#[test]
fn a_literal_may_come_through_another_macro() {
    let two = TokenTree::Group(proc_macro2::Group::new(Delimiter::None, tokens("2")));
    let expanded = expand(Kind::Main, quote!(workers = #two), tokens("fn main() {}"));
    assert!(
        expanded
            .to_string()
            .contains("workers : :: core :: option :: Option :: Some (2)")
    );
}

#[test]
fn wrong_arguments_are_refused_where_they_stand() {
    let main = |arguments: &str, expected: &[(&str, &str)]| {
        let rest = assert_refused(Kind::Main, arguments, "fn main() { body() }", expected);
        // The body is still there for the compiler to check.
        assert!(
            rest.starts_with("fn main () { fn main () { body () }"),
            "{rest}"
        );
        assert!(rest.contains("__private :: main (options , main)"));
    };
    let workers = "`workers` takes an integer literal, such as `workers = 2`";
    let stack_size = "`stack_size` takes an integer literal, such as `stack_size = 524_288`";
    let path = "`crate` takes a path without quotes, such as `crate = my::path`";
    main("workers = \"2\"", &[(workers, "\"2\"")]);
    main("workers = two()", &[(workers, "two()")]);
    main("workers = -1", &[(workers, "-1")]);
    main("workers = 2u8", &[(workers, "2u8")]);
    main("workers = 2.0", &[(workers, "2.0")]);
    main("workers = 0", &[("`workers` must be above 0", "0")]);
    main("stack_size = true", &[(stack_size, "true")]);
    main("stack_size = 512 * 1024", &[(stack_size, "512 * 1024")]);
    main(
        "stack_size = 99999999999999999999",
        &[(
            "`stack_size`: number too large to fit in target type",
            "99999999999999999999",
        )],
    );
    main("crate = \"my::path\"", &[(path, "\"my::path\"")]);
    main("crate = <T as Trait>::X", &[(path, "<T as Trait>::X")]);
    main(
        "flavor = \"current_thread\"",
        &[(
            "unknown argument `flavor`: `#[ropewalk::main]` takes `workers`, `stack_size` and \
             `crate`",
            "flavor",
        )],
    );
    main("workers", &[("expected `workers = …`", "workers")]);
    main("workers(2)", &[("expected `workers = …`", "workers")]);
    main(
        "workers =",
        &[("expected a value after `workers =`", "workers")],
    );
    main(
        "workers = , stack_size = 1",
        &[("expected a value after `workers =`", "workers")],
    );
    main("2", &[("expected an argument such as `workers = 2`", "2")]);
    main(
        "workers = 1 stack_size = 2",
        &[("expected `,`", "stack_size")],
    );
}

#[test]
fn an_argument_given_twice_is_refused_at_the_second() {
    let (errors, rest) = split_errors(expand(
        Kind::Test,
        tokens("workers = 1, crate = a, workers = 2"),
        tokens("fn t() {}"),
    ));
    let expected = (
        "the argument `workers` is given twice".into(),
        "workers".into(),
    );
    assert_eq!(errors, [expected]);
    assert!(rest.contains("Some (1)") && !rest.contains("Some (2)"));
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let rest = assert_refused(
        Kind::Main,
        "workers = 0, colour = red",
        "const fn main(arguments: Vec<String>) {}",
        &[
            ("`workers` must be above 0", "0"),
            (
                "unknown argument `colour`: `#[ropewalk::main]` takes `workers`, `stack_size` \
                 and `crate`",
                "colour",
            ),
            (
                "a function under `#[ropewalk::main]` can't be `const`",
                "const",
            ),
            (
                "a function under `#[ropewalk::main]` can't have parameters",
                "arguments: Vec<String>",
            ),
        ],
    );
    assert_eq!(rest, "fn main () { }");
}

#[test]
fn functions_that_cannot_be_started_are_refused() {
    let cases = [
        ("const fn f() {}", "can't be `const`", "const"),
        ("unsafe fn f() {}", "can't be `unsafe`", "unsafe"),
        (
            "extern \"C\" fn f() {}",
            "can't be `extern`",
            "extern \"C\"",
        ),
        ("extern fn f() {}", "can't be `extern`", "extern"),
        ("fn f<T: Copy>() {}", "can't be generic", "<T: Copy>"),
        ("fn f<'a>() {}", "can't be generic", "<'a>"),
        (
            "fn f() where u8: Copy {}",
            "can't have a `where` clause",
            "where u8: Copy",
        ),
        (
            "fn f(a: u8, b: u8) {}",
            "can't have parameters",
            "a: u8, b: u8",
        ),
        ("fn f(&self) {}", "can't have parameters", "&self"),
        ("async fn f(a: u8) {}", "can't have parameters", "a: u8"),
    ];
    for (item, what, at) in cases {
        for kind in [Kind::Main, Kind::Test] {
            let message = format!("a function under {} {what}", kind.attribute());
            let rest = assert_refused(kind, "", item, &[(&message, at)]);
            assert_eq!(
                rest,
                if kind == Kind::Main {
                    "fn f () { }"
                } else {
                    ""
                }
            );
        }
    }
}

#[test]
fn a_test_is_not_made_a_test_twice() {
    let message = "this is a test already: `#[ropewalk::test]` takes the place of this";
    for other in ["#[test]", "#[tokio::test]", "#[::core::prelude::v1::test]"] {
        let item = format!("#[ignore] {other} fn t() {{}}");
        assert_refused(Kind::Test, "", &item, &[(message, other)]);
    }
    let (errors, _) = split_errors(expand(Kind::Main, tokens(""), tokens("#[test] fn f() {}")));
    assert!(errors.is_empty());
}

#[test]
fn what_is_not_a_function_is_refused_and_left_as_it_is() {
    let message = "`#[ropewalk::test]` goes on a function";
    let rest = assert_refused(Kind::Test, "", "struct S;", &[(message, "struct S;")]);
    assert_eq!(rest, "struct S ;");
    let (errors, rest) = split_errors(expand(Kind::Main, tokens(""), tokens("fn main() -> ")));
    assert_eq!((errors.len(), rest.as_str()), (1, "fn main () ->"));
}
