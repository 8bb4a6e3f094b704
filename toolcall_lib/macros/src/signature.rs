//! Checks that the signature of a function can be that of a tool.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, Pat, Result, ReturnType, Signature, Type, TypeReference};

/// An argument of the function.
pub struct Argument {
    /// Its name.
    pub name: Ident,
    /// Type of the field that a call fills; `String` for `&str`.
    pub field: TokenStream,
    /// Expression that passes the field to the function.
    pub passed: TokenStream,
}

/// Refuses a signature that a model cannot call.
pub fn check(signature: &Signature) -> Result<()> {
    if let Some(token) = signature.asyncness {
        return Err(Error::new(
            token.span,
            "a tool cannot be async: a call waits for its answer",
        ));
    }
    if let Some(token) = signature.unsafety {
        return Err(Error::new(
            token.span,
            "a tool cannot be unsafe: a model chooses its arguments",
        ));
    }
    if !signature.generics.params.is_empty() {
        let message = "a tool cannot be generic: the model's JSON must have one type per argument";
        return Err(Error::new(signature.generics.span(), message));
    }
    match &signature.output {
        ReturnType::Type(_, output) if mentions(output, "impl") => Err(Error::new(
            output.span(),
            "a tool cannot return `impl …`: write the name of the type",
        )),
        _ => Ok(()),
    }
}

/// Reads an argument; refuses what JSON cannot fill.
pub fn argument(input: &FnArg) -> Result<Argument> {
    let input = match input {
        FnArg::Typed(input) => input,
        FnArg::Receiver(receiver) => {
            let message = "a tool has no `self`: for one with state, give a closure to Tool::from_struct";
            return Err(Error::new(receiver.span(), message));
        }
    };
    let name = match &*input.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => pattern.ident.clone(),
        pattern => {
            return Err(Error::new(
                pattern.span(),
                "an argument of a tool needs a plain name",
            ));
        }
    };
    let ty = &*input.ty;
    if matches!(ty, Type::Reference(reference) if is_str(reference)) {
        let field = quote_spanned! { ty.span() => ::std::string::String };
        return Ok(Argument {
            field,
            passed: quote! { &arguments.#name },
            name,
        });
    }
    if mentions(ty, "&") || mentions(ty, "impl") || mentions(ty, "dyn") {
        let message = format!(
            "argument `{name}` is read from JSON: \
            write `&str` or an owned type such as `String` or `Vec<String>`"
        );
        return Err(Error::new(ty.span(), message));
    }
    Ok(Argument {
        field: quote! { #ty },
        passed: quote! { arguments.#name },
        name,
    })
}

fn is_str(reference: &TypeReference) -> bool {
    let is_str = matches!(&*reference.elem, Type::Path(path) if path.path.is_ident("str"));
    is_str && reference.mutability.is_none() && reference.lifetime.is_none()
}

/// Returns true if `token` occurs in a type, at any depth.
fn mentions(ty: &Type, token: &str) -> bool {
    fn within(tokens: TokenStream, token: &str) -> bool {
        tokens.into_iter().any(|tree| match tree {
            TokenTree::Group(group) => within(group.stream(), token),
            other => other.to_string() == token,
        })
    }
    within(ty.to_token_stream(), token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn refusal(signature: Signature) -> String {
        let refused = check(&signature)
            .err()
            .or(signature.inputs.iter().find_map(|input| argument(input).err()));
        refused.unwrap().to_string()
    }

    #[test]
    fn what_a_model_cannot_call_is_refused() {
        assert!(refusal(parse_quote! { async fn f() }).contains("cannot be async"));
        assert!(refusal(parse_quote! { unsafe fn f() }).contains("cannot be unsafe"));
        assert!(refusal(parse_quote! { fn f<T>(x: T) }).contains("cannot be generic"));
        assert!(refusal(parse_quote! { fn f<'a>(x: &'a str) }).contains("cannot be generic"));
        assert!(refusal(parse_quote! { fn f() -> impl Sized }).contains("write the name of the type"));
        assert!(refusal(parse_quote! { fn f(&self, x: i64) }).contains("has no `self`"));
        assert!(refusal(parse_quote! { fn f((a, b): (i64, i64)) }).contains("needs a plain name"));
    }

    #[test]
    fn what_json_cannot_fill_is_refused() {
        let signatures: [Signature; 7] = [
            parse_quote! { fn f(x: &[i64]) },
            parse_quote! { fn f(x: &mut str) },
            parse_quote! { fn f(x: &'static str) },
            parse_quote! { fn f(x: Option<&str>) },
            parse_quote! { fn f(x: Vec<(i64, &str)>) },
            parse_quote! { fn f(x: Box<dyn Fn()>) },
            parse_quote! { fn f(x: impl ToString) },
        ];
        for signature in signatures {
            let refusal = refusal(signature);
            assert!(
                refusal.starts_with("argument `x` is read from JSON: write `&str` or an owned type"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_text_may_be_borrowed() {
        let argument = argument(&parse_quote! { mut city: &str }).unwrap();
        assert_eq!(argument.name, "city");
        assert_eq!(argument.field.to_string(), ":: std :: string :: String");
        assert_eq!(argument.passed.to_string(), "& arguments . city");
    }
}
