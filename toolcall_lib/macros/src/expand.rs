//! Expands a function into its tool.

use crate::doc::{Doc, split_choices};
use crate::message;
use crate::signature::{self, Argument};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Error, Expr, ExprLit, ItemFn, Lit, Meta, Result, ReturnType};

/// Returns the function unchanged, followed by its tool or by the compile errors.
pub fn tool(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let added = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(_) if !attributes.is_empty() => {
            let message = "#[tool] takes no arguments: describe the tool in its doc comment";
            Err(Error::new_spanned(attributes, message))
        }
        Ok(function) => expand(&function),
        Err(error) => Err(Error::new(
            error.span(),
            format!("#[tool] belongs on a function: {error}"),
        )),
    };
    let added = added.unwrap_or_else(Error::into_compile_error);
    quote! { #item #added }
}

fn expand(function: &ItemFn) -> Result<TokenStream> {
    // 1. Read the signature and the doc comment.
    let signature = &function.sig;
    signature::check(signature)?;
    let name = signature.ident.unraw().to_string();
    let arguments: Vec<Argument> = all(signature.inputs.iter().map(signature::argument))?;
    let doc = Doc::parse(&doc_text(&function.attrs)?);
    if doc.description.is_empty() {
        return Err(Error::new(
            signature.ident.span(),
            message::no_description(&name, &arguments),
        ));
    }
    // 2. Match descriptions and arguments by their names.
    let is_argument = |described: &str| {
        arguments
            .iter()
            .any(|argument| argument.name.unraw() == described)
    };
    let unknown = doc
        .arguments
        .iter()
        .filter(|(described, _)| !is_argument(described))
        .map(|(described, _)| {
            Err(Error::new(
                signature.ident.span(),
                message::no_argument(&name, described, &arguments),
            ))
        });
    let fields = all(arguments
        .iter()
        .map(|argument| field(&name, argument, &doc))
        .chain(unknown))?;

    // 3. Write the tool.
    let (visibility, ident, description) = (&function.vis, &signature.ident, &doc.description);
    let tool = format_ident!("{name}_tool", span = ident.span());
    let passed = arguments.iter().map(|argument| &argument.passed);
    let returns = returns(&signature.output, doc.returns.as_deref());
    let documentation = format!("The tool [`{name}`].");
    Ok(quote! {
        #[doc = #documentation]
        #visibility fn #tool() -> ::toolcall_lib::Tool {
            #[allow(unused_imports)]
            use ::toolcall_lib::tool::expansion::{Known as _, Plain as _, Unknown as _};
            #[derive(::toolcall_lib::serde::Deserialize, ::toolcall_lib::schemars::JsonSchema)]
            #[serde(crate = "::toolcall_lib::serde")]
            #[schemars(crate = "::toolcall_lib::schemars", description = #description)]
            struct __Arguments { #(#fields)* }
            let tool = ::toolcall_lib::tool::expansion::tool(
                #name,
                |arguments: __Arguments| {
                    ::toolcall_lib::tool::expansion::Returned(#ident(#(#passed),*)).into_result()
                },
                #returns,
            );
            match tool {
                ::std::result::Result::Ok(tool) => tool,
                ::std::result::Result::Err(error) => ::std::panic!("{}", error),
            }
        }
    })
}

/// Joins the text of all doc attributes, one line each.
fn doc_text(attributes: &[Attribute]) -> Result<String> {
    let mut lines = Vec::new();
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
    {
        let Meta::NameValue(doc) = &attribute.meta else {
            continue;
        }; // `#[doc(hidden)]`
        match &doc.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => lines.push(text.value()),
            other => {
                return Err(Error::new_spanned(
                    other,
                    "the doc comment of a tool must be plain text",
                ));
            }
        }
    }
    Ok(lines.join("\n"))
}

/// Returns the field of the struct of arguments, with its description and choices.
fn field(tool: &str, argument: &Argument, doc: &Doc) -> Result<TokenStream> {
    let Argument { name, field, .. } = argument;
    let plain_name = name.unraw().to_string();
    let described = doc
        .arguments
        .iter()
        .rfind(|(described, _)| *described == plain_name);
    let Some((_, text)) = described.filter(|(_, text)| !text.is_empty()) else {
        return Err(Error::new(
            name.span(),
            message::no_argument_description(tool, &plain_name),
        ));
    };
    let wrong = |problem: String| Error::new(name.span(), message::no_choices(&plain_name, &problem));
    let (description, choices) = split_choices(text).map_err(wrong)?;
    let choices = choices.map(|choices| quote! { extend("choices" = [#(#choices),*]) });
    Ok(quote! {
        #[schemars(description = #description, #choices)]
        #name: #field,
    })
}

fn returns(output: &ReturnType, description: Option<&str>) -> TokenStream {
    let ReturnType::Type(_, ty) = output else {
        return quote! { ::std::option::Option::None };
    };
    let description = match description {
        Some(text) => quote! { ::std::option::Option::Some(#text) },
        None => quote! { ::std::option::Option::None },
    };
    quote! { (&::toolcall_lib::tool::expansion::ReturnType::<#ty>::new()).schema(#description) }
}

/// Collects all values or all errors, so that one build shows every problem.
fn all<T>(results: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let mut errors: Option<Error> = None;
    for result in results {
        match (result, &mut errors) {
            (Ok(value), _) => values.push(value),
            (Err(error), Some(errors)) => errors.combine(error),
            (Err(error), None) => errors = Some(error),
        }
    }
    errors.map_or(Ok(values), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    /// The messages of all compile errors that an item expands to.
    fn errors(item: TokenStream) -> Vec<String> {
        let function: ItemFn = syn::parse2(item).unwrap();
        expand(&function)
            .unwrap_err()
            .into_iter()
            .map(|error| error.to_string())
            .collect()
    }

    fn error(item: TokenStream) -> String {
        errors(item).join("\n---\n")
    }

    #[test]
    fn the_function_stays_and_its_tool_is_as_visible() {
        let function = quote! {
            /// Starts a timer.
            ///
            /// Args:
            ///     minutes: How long.
            pub(crate) fn start_timer(minutes: i64) -> i64 { 60 * minutes }
        };
        let expanded = tool(TokenStream::new(), function.clone()).to_string();
        let added = expanded.strip_prefix(&function.to_string()).unwrap();
        assert!(added.contains("pub (crate) fn start_timer_tool () -> :: toolcall_lib :: Tool"));
        syn::parse_str::<syn::File>(&expanded).unwrap();
    }

    #[test]
    fn all_paths_start_at_the_library_or_std() {
        let function = quote! {
            /// Waits.
            ///
            /// Args:
            ///     how: How. (choices: ["long"])
            fn wait(how: &str) -> Result<(), String> { Ok(()) }
        };
        let function: ItemFn = syn::parse2(function).unwrap();
        let expanded = expand(&function).unwrap().to_string().replace(' ', "");
        for root in ["serde::", "schemars::", "Option::", "String,", "panic!", "Tool{"] {
            for (at, _) in expanded.match_indices(root) {
                assert!(expanded[..at].ends_with("::"), "{root} in {expanded}");
            }
        }
    }

    #[test]
    fn a_missing_doc_comment_is_an_error_that_shows_one() {
        let expected = "tool `f` has no description for the model: \
            write a doc comment between #[tool] and `fn`\n\
            /// What the function does.\n///\n\
            /// Args:\n///     x: What it means.\n///     type: What it means.";
        assert_eq!(error(quote! { fn f(x: i64, r#type: i64) {} }), expected);
        let only_arguments = quote! {
            /// Args:
            ///     x: One.
            fn f(x: i64) {}
        };
        assert!(error(only_arguments).contains("has no description"));
        let expected = "write a doc comment between #[tool] and `fn`\n/// What the function does.";
        assert!(error(quote! { fn f() {} }).ends_with(expected));
    }

    #[test]
    fn every_argument_without_a_description_is_an_error_that_shows_one() {
        let found = errors(quote! {
            /// Does it.
            ///
            /// Args:
            ///     y: The second.
            ///     z (int): The third.
            ///     x:
            fn f(x: i64, y: i64, z: i64) {}
        });
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("argument `x` of tool `f` has no description for the model"));
        assert!(found[1].contains("below `/// Args:`,\n///     z: What it means.\n"));
    }

    #[test]
    fn a_description_without_an_argument_is_an_error() {
        let found = error(quote! {
            /// Does it.
            ///
            /// # Arguments
            /// * `x` - One.
            /// * `z` - Two.
            fn f(x: i64) {}
        });
        let expected =
            "the doc comment describes an argument `z`, but tool `f` takes `x`: rename or remove that line";
        assert_eq!(found, expected);
    }

    #[test]
    fn choices_that_are_no_list_are_an_error() {
        let found = error(quote! {
            /// Does it.
            ///
            /// Args:
            ///     x: One. (choices: a or b)
            fn f(x: String) {}
        });
        assert!(
            found.starts_with("choices of argument `x`: `a or b`: expected value"),
            "{found}"
        );
        assert!(
            found.ends_with(r#"write them as (choices: ["a", "b"])"#),
            "{found}"
        );
    }

    #[test]
    fn a_doc_comment_that_is_no_text_is_an_error() {
        let found = error(quote! {
            #[doc = include_str!("f.md")]
            fn f() {}
        });
        assert_eq!(found, "the doc comment of a tool must be plain text");
    }

    #[test]
    fn only_a_function_is_a_tool() {
        let expanded = tool(TokenStream::new(), quote! { struct S; }).to_string();
        assert!(expanded.starts_with("struct S ;") && expanded.contains("#[tool] belongs on a function"));
        let function: ItemFn = parse_quote! {
            /// Does it.
            fn f() {}
        };
        let expanded = tool(quote! { name = "g" }, quote! { #function }).to_string();
        assert!(expanded.contains("#[tool] takes no arguments"));
    }
}
