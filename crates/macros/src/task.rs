//! Registers a function under `#[ropewalk::task]`.
//!
//! The function stays as it is; an entry of the table of tasks is put beside it:
//!
//! ```text
//! fn thumbnail(image: Image) -> Image { … }
//! ::ropewalk::register! { "thumbnail" => thumbnail }
//! ```
//!
//! What can't be called from another process is refused here, where the message can point at it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, FnArg, ItemFn, LitStr, Path, Token, Type};

use crate::arguments::{Argument, default_root, literal_text, path};

/// How many arguments a task may have.
const ARGUMENTS_MAX: usize = 8;

/// Expands the attribute with its `arguments` on `item`.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Vec::new();
    let (name, root) = read(arguments, &mut errors);
    let registered = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => {
            check(&function, &mut errors);
            errors.is_empty().then(|| register(name, &root, &function))
        }
        Err(error) => {
            errors.push(match syn::parse2::<syn::Item>(item.clone()) {
                Ok(other) => Error::new_spanned(other, "`#[ropewalk::task]` goes on a function"),
                Err(_) => error,
            });
            None
        }
    };
    let errors = errors.iter().map(Error::to_compile_error);
    quote! { #item #registered #(#errors)* }
}

/// Reads `name = "…"` and `crate = my::path`.
fn read(tokens: TokenStream, errors: &mut Vec<Error>) -> (Option<LitStr>, Path) {
    let mut name = None;
    let mut root = None;
    let list = match Punctuated::<Argument, Token![,]>::parse_terminated.parse2(tokens) {
        Ok(list) => list,
        Err(error) => {
            errors.push(error);
            return (None, default_root());
        }
    };
    for Argument { name: word, value } in list {
        let taken = match word.to_string().as_str() {
            "name" => literal_text(value).and_then(|text| set(&mut name, text, &word)),
            "crate" => path(value).and_then(|path| set(&mut root, path, &word)),
            unknown => {
                let message = format!(
                    "unknown argument `{unknown}`: `#[ropewalk::task]` takes `name` and `crate`"
                );
                Err(Error::new(word.span(), message))
            }
        };
        errors.extend(taken.err());
    }
    (name, root.unwrap_or_else(default_root))
}

fn set<T>(place: &mut Option<T>, value: T, word: &syn::Ident) -> Result<(), Error> {
    if place.replace(value).is_some() {
        let message = format!("the argument `{word}` is given twice");
        return Err(Error::new(word.span(), message));
    }
    Ok(())
}

/// Finds what a function must not have to be called from another process.
fn check(function: &ItemFn, errors: &mut Vec<Error>) {
    let signature = &function.sig;
    let mut refuse = |tokens: &dyn ToTokens, what: &str| {
        errors.push(Error::new_spanned(tokens, format!("a task {what}")));
    };
    if let Some(word) = &signature.asyncness {
        let what = "is a plain function: call `ropewalk::block_on` in it";
        refuse(word, what);
    }
    if let Some(word) = &signature.unsafety {
        refuse(word, "can't be `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        refuse(abi, "can't be `extern`");
    }
    if !signature.generics.params.is_empty() {
        let what = "can't be generic: name it with its types in `ropewalk::register!`";
        refuse(&signature.generics, what);
    }
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                refuse(
                    receiver,
                    "can't be a method: make it a function that takes the value",
                );
            }
            FnArg::Typed(argument) => match &*argument.ty {
                Type::Reference(_) => refuse(
                    &argument.ty,
                    "takes its arguments by value: they may come from another process",
                ),
                Type::ImplTrait(_) => refuse(&argument.ty, "can't be generic"),
                _ => {}
            },
        }
    }
    if signature.inputs.len() > ARGUMENTS_MAX {
        refuse(
            &signature.inputs,
            "has eight arguments at most: put some into a struct",
        );
    }
}

fn register(name: Option<LitStr>, root: &Path, function: &ItemFn) -> TokenStream {
    let ident = &function.sig.ident;
    let conditions = function
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    let name = match name {
        Some(name) => name.into_token_stream(),
        None => quote! {
            ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#ident))
        },
    };
    quote! { #(#conditions)* #root::register! { #name => #ident } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(arguments: &str, item: &str) -> String {
        expand(arguments.parse().unwrap(), item.parse().unwrap()).to_string()
    }

    fn tokens(text: &str) -> String {
        text.parse::<TokenStream>().unwrap().to_string()
    }

    #[test]
    fn the_function_stays_and_is_registered() {
        assert_eq!(
            expanded("", "pub fn square(n: u64) -> u64 { n * n }"),
            tokens(
                "pub fn square(n: u64) -> u64 { n * n }
                ::ropewalk::register! {
                    ::core::concat!(::core::module_path!(), \"::\", ::core::stringify!(square))
                    => square
                }"
            )
        );
    }

    #[test]
    fn name_and_crate_are_taken() {
        assert_eq!(
            expanded(
                "name = \"sq\", crate = my::path",
                "#[cfg(unix)] fn square() {}"
            ),
            tokens(
                "#[cfg(unix)] fn square() {}
                #[cfg(unix)] my::path::register! { \"sq\" => square }"
            )
        );
    }

    #[test]
    fn what_cant_be_called_from_elsewhere_is_refused() {
        for (arguments, item, message) in [
            ("", "async fn f() {}", "call `ropewalk::block_on` in it"),
            ("", "unsafe fn f() {}", "can't be `unsafe`"),
            ("", "extern \"C\" fn f() {}", "can't be `extern`"),
            ("", "fn f<T>(t: T) {}", "can't be generic"),
            ("", "fn f(t: impl Copy) {}", "can't be generic"),
            ("", "fn f(&self) {}", "can't be a method"),
            ("", "fn f(s: &str) {}", "by value"),
            (
                "",
                "fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8) {}",
                "eight arguments at most",
            ),
            ("", "struct S;", "goes on a function"),
            ("name = 5", "fn f() {}", "takes a text in quotes"),
            ("name = \"\"", "fn f() {}", "must not be empty"),
            ("name = \"a\", name = \"b\"", "fn f() {}", "given twice"),
            ("nmae = \"a\"", "fn f() {}", "unknown argument `nmae`"),
            ("name", "fn f() {}", "expected `name = …`"),
        ] {
            let text = expanded(arguments, item);
            assert!(text.contains(message), "{item}: {text}");
            assert!(text.contains("compile_error"), "{text}");
            assert!(!text.contains("register !"), "{text}");
        }
    }
}
