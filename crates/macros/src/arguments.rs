//! Reads the arguments of the attributes: `workers = 2, stack_size = 524_288, crate = my::path`.

use proc_macro2::{Ident, Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Lit, LitInt, LitStr, Path, Token};

/// The arguments that were given, as far as they are right.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) workers: Option<LitInt>,
    pub(crate) stack_size: Option<LitInt>,
    /// The value of `crate`.
    pub(crate) root: Option<Path>,
}

impl Arguments {
    /// Reads all arguments, and puts what is wrong with any of them into `errors`, so that they
    /// are reported together.
    ///
    /// `attribute` is how messages call the attribute.
    pub(crate) fn read(tokens: TokenStream, attribute: &str, errors: &mut Vec<Error>) -> Arguments {
        let mut arguments = Arguments::default();
        let list = match Punctuated::<Argument, Token![,]>::parse_terminated.parse2(tokens) {
            Ok(list) => list,
            Err(error) => {
                errors.push(error);
                return arguments;
            }
        };
        let mut seen: Vec<Ident> = Vec::new();
        for argument in list {
            if seen.contains(&argument.name) {
                let message = format!("the argument `{}` is given twice", argument.name);
                errors.push(Error::new(argument.name.span(), message));
                continue;
            }
            seen.push(argument.name.clone());
            if let Err(error) = arguments.take(argument, attribute) {
                errors.push(error);
            }
        }
        arguments
    }

    fn take(&mut self, argument: Argument, attribute: &str) -> Result<(), Error> {
        let Argument { name, value } = argument;
        match name.to_string().as_str() {
            "workers" => self.workers = Some(positive("workers", "workers = 2", value)?),
            "stack_size" => {
                self.stack_size = Some(positive("stack_size", "stack_size = 524_288", value)?);
            }
            "crate" => self.root = Some(path(value)?),
            unknown => {
                let message = format!(
                    "unknown argument `{unknown}`: {attribute} takes `workers`, `stack_size` and \
                     `crate`"
                );
                return Err(Error::new(name.span(), message));
            }
        }
        Ok(())
    }
}

/// One `name = value`, not yet judged.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) value: Expr,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Argument, Error> {
        // Any word, because `crate` is a keyword.
        let Ok(name) = input.call(Ident::parse_any) else {
            return Err(input.error("expected an argument such as `workers = 2`"));
        };
        if !input.peek(Token![=]) {
            return Err(Error::new(name.span(), format!("expected `{name} = …`")));
        }
        input.parse::<Token![=]>()?;
        if input.is_empty() || input.peek(Token![,]) {
            return Err(Error::new(
                name.span(),
                format!("expected a value after `{name} =`"),
            ));
        }
        Ok(Argument {
            name,
            value: input.parse()?,
        })
    }
}

/// Takes a value as an integer literal above zero that fits a `usize`.
fn positive(name: &str, example: &str, value: Expr) -> Result<LitInt, Error> {
    let expected = || format!("`{name}` takes an integer literal, such as `{example}`");
    let value = ungrouped(value);
    let Expr::Lit(syn::ExprLit {
        lit: Lit::Int(number),
        ..
    }) = &value
    else {
        return Err(Error::new_spanned(&value, expected()));
    };
    if !matches!(number.suffix(), "" | "usize") {
        return Err(Error::new(number.span(), expected()));
    }
    match number.base10_parse::<usize>() {
        Ok(0) => Err(Error::new(
            number.span(),
            format!("`{name}` must be above 0"),
        )),
        Ok(_) => Ok(number.clone()),
        Err(error) => Err(Error::new(number.span(), format!("`{name}`: {error}"))),
    }
}

/// Takes a value as a path.
pub(crate) fn path(value: Expr) -> Result<Path, Error> {
    match ungrouped(value) {
        Expr::Path(path) if path.qself.is_none() => Ok(path.path),
        other => {
            let message = "`crate` takes a path without quotes, such as `crate = my::path`";
            Err(Error::new_spanned(other, message))
        }
    }
}

/// Takes the value of `name` as a text that is not empty.
pub(crate) fn literal_text(value: Expr) -> Result<LitStr, Error> {
    let value = ungrouped(value);
    let Expr::Lit(syn::ExprLit {
        lit: Lit::Str(text),
        ..
    }) = &value
    else {
        let message = "`name` takes a text in quotes, such as `name = \"thumbnail\"`";
        return Err(Error::new_spanned(&value, message));
    };
    if text.value().is_empty() {
        return Err(Error::new(text.span(), "`name` must not be empty"));
    }
    Ok(text.clone())
}

/// Takes off the invisible brackets around what came through a `macro_rules!` variable.
fn ungrouped(mut value: Expr) -> Expr {
    while let Expr::Group(group) = value {
        value = *group.expr;
    }
    value
}

/// The path to Ropewalk where no `crate` argument says otherwise.
pub(crate) fn default_root() -> Path {
    let mut root = Path::from(Ident::new("ropewalk", Span::call_site()));
    root.leading_colon = Some(Default::default());
    root
}
