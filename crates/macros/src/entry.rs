//! Writes the functions under `#[ropewalk::main]` and `#[ropewalk::test]` anew.
//!
//! The function keeps its name and its attributes. Its body moves into a function of the same
//! name and return type inside, and what is left outside hands that to the runtime:
//!
//! ```text
//! fn main() -> ::std::process::ExitCode {
//!     fn main() -> R { the body }
//!     let options = ::ropewalk::__private::MainOptions { workers: Some(2), ..Default::default() };
//!     ::ropewalk::__private::main(options, main)
//! }
//! ```
//!
//! The runtime turns the `R` into an exit code on the worker that made it, because an `R` that
//! isn't `Send` must not come back to the thread that waits outside. Where no return type is
//! declared, or `()`, the outer function has none either and ends with `let _ = …(options, main);`:
//! libtest takes `#[should_panic]` only on a function that visibly returns `()`. For the same
//! reason that is told from the tokens, and an alias of `()` counts as a declared type.
//!
//! An inner function and not a closure, because it takes any return type (`impl Termination`
//! too), and gives `?` and the compiler's messages the same types to work with as before. Of the
//! same name, so that no name is added to those the body can see. An `async fn` stays one, and
//! `|| ::ropewalk::block_on(main())` is handed over.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse_quote;
use syn::{AttrStyle, Attribute, Error, ItemFn, ReturnType, Signature, Type, Visibility};

use crate::arguments::{Arguments, default_root};

/// Which attribute is expanded.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Main,
    Test,
}

impl Kind {
    fn attribute(self) -> &'static str {
        match self {
            Kind::Main => "`#[ropewalk::main]`",
            Kind::Test => "`#[ropewalk::test]`",
        }
    }
}

/// Expands an attribute with its `arguments` on `item`.
///
/// Wrong arguments are reported beside the expansion without them, so that the body is checked
/// all the same and the compiler doesn't go on about a missing `main`.
pub(crate) fn expand(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Vec::new();
    let arguments = Arguments::read(arguments, kind.attribute(), &mut errors);
    let expanded = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => {
            let before = errors.len();
            check(kind, &function, &mut errors);
            if errors.len() == before {
                rewrite(kind, &arguments, function)
            } else {
                stand_in(kind, &function)
            }
        }
        Err(error) => {
            errors.push(refuse(kind, &item, error));
            item
        }
    };
    let errors = errors.iter().map(Error::to_compile_error);
    quote! { #(#errors)* #expanded }
}

/// Says what is wrong with an item that is not a function, or not one that can be read.
fn refuse(kind: Kind, item: &TokenStream, error: Error) -> Error {
    match syn::parse2::<syn::Item>(item.clone()) {
        Ok(other) => Error::new_spanned(other, format!("{} goes on a function", kind.attribute())),
        Err(_) => error,
    }
}

/// Finds what a function must not have to be started by a runtime.
fn check(kind: Kind, function: &ItemFn, errors: &mut Vec<Error>) {
    let attribute = kind.attribute();
    let signature = &function.sig;
    let mut refuse = |tokens: &dyn ToTokens, what: &str| {
        errors.push(Error::new_spanned(
            tokens,
            format!("a function under {attribute} {what}"),
        ));
    };
    if let Some(word) = &signature.constness {
        refuse(word, "can't be `const`");
    }
    if let Some(word) = &signature.unsafety {
        refuse(word, "can't be `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        refuse(abi, "can't be `extern`");
    }
    if !signature.generics.params.is_empty() {
        refuse(&signature.generics, "can't be generic");
    }
    if let Some(clause) = &signature.generics.where_clause {
        refuse(clause, "can't have a `where` clause");
    }
    if !signature.inputs.is_empty() {
        refuse(&signature.inputs, "can't have parameters");
    }
    if let Some(variadic) = &signature.variadic {
        refuse(variadic, "can't have parameters");
    }
    if kind == Kind::Test {
        for attribute in function.attrs.iter().filter(|attribute| is_test(attribute)) {
            let message = "this is a test already: `#[ropewalk::test]` takes the place of this";
            errors.push(Error::new_spanned(attribute, message));
        }
    }
}

/// Recognises `#[test]`, and the like of other crates by the last word of their path.
fn is_test(attribute: &Attribute) -> bool {
    attribute
        .path()
        .segments
        .last()
        .is_some_and(|segment| segment.ident == "test")
}

/// Writes the function anew. See the head of this file.
fn rewrite(kind: Kind, arguments: &Arguments, function: ItemFn) -> TokenStream {
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = function;
    let (outer, inner): (Vec<_>, Vec<_>) = attrs
        .into_iter()
        .partition(|attribute| matches!(attribute.style, AttrStyle::Outer));
    let returns_unit = is_unit(&sig.output);
    let outside = Signature {
        asyncness: None,
        output: if returns_unit {
            ReturnType::Default
        } else {
            parse_quote!(-> ::std::process::ExitCode)
        },
        ..sig.clone()
    };
    let name = sig.ident.clone();
    let is_async = sig.asyncness.is_some();
    let inside = ItemFn {
        attrs: inner,
        vis: Visibility::Inherited,
        sig,
        block,
    };

    let root = arguments.root.clone().unwrap_or_else(default_root);
    let workers = field("workers", arguments.workers.as_ref());
    let stack_size = field("stack_size", arguments.stack_size.as_ref());
    let body = if is_async {
        quote!(|| #root::block_on(#name()))
    } else {
        quote!(#name)
    };
    // The prelude's, by its full path: `test` alone may well be imported from Ropewalk.
    let (mark, options, start) = match kind {
        Kind::Main => (quote!(), quote!(MainOptions), quote!(main(options, #body))),
        Kind::Test => {
            let suffix = format!("::{}", name.unraw());
            let path = quote!(::core::concat!(::core::module_path!(), #suffix));
            (
                quote!(#[::core::prelude::v1::test]),
                quote!(TestOptions),
                quote!(test(options, #path, #body)),
            )
        }
    };
    let call = quote!(#root::__private::#start);
    let end = if returns_unit {
        quote!(let _ = #call;)
    } else {
        call
    };
    quote! {
        #mark
        #(#outer)*
        #vis #outside {
            #inside
            #[allow(clippy::needless_update)]
            let options = #root::__private::#options {
                #workers
                #stack_size
                ..::core::default::Default::default()
            };
            #end
        }
    }
}

/// Tells whether a function visibly returns `()`. A `$type` of a macro comes in a group.
fn is_unit(output: &ReturnType) -> bool {
    let ReturnType::Type(_, declared) = output else {
        return true;
    };
    let mut declared = &**declared;
    loop {
        declared = match declared {
            Type::Paren(around) => &around.elem,
            Type::Group(around) => &around.elem,
            Type::Tuple(tuple) => return tuple.elems.is_empty(),
            _ => return false,
        }
    }
}

/// Writes a field of the options if it was given.
fn field(name: &str, value: Option<&syn::LitInt>) -> Option<TokenStream> {
    let value = value?;
    let name = syn::Ident::new(name, value.span());
    Some(quote!(#name: ::core::option::Option::Some(#value),))
}

/// Writes a `main` in the place of one that can't be used, to spare the reader the message that
/// there is none. A test is just left out.
fn stand_in(kind: Kind, function: &ItemFn) -> TokenStream {
    let (vis, name) = (&function.vis, &function.sig.ident);
    match kind {
        Kind::Main => quote!(#vis fn #name() {}),
        Kind::Test => TokenStream::new(),
    }
}

#[cfg(test)]
mod tests;
