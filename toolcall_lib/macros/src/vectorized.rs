//! A function that is compiled once for each instruction set.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, FnArg, Ident, ItemFn, Pat, Result, Signature};

/// Features of the instruction sets of x86-64, by the name of `toolcall_lib::cpu::Isa`. `cpu::isa`
/// checks the same features.
const AVX2: &str = "avx2,fma,f16c,bmi1,bmi2,lzcnt";
const AVX512: &str = "avx2,fma,f16c,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl";

/// Returns a function of the same signature that calls the version for the processor.
pub fn vectorized(item: TokenStream) -> TokenStream {
    expand(item).unwrap_or_else(Error::into_compile_error)
}

fn expand(item: TokenStream) -> Result<TokenStream> {
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = syn::parse2(item)?;
    let arguments = sig.inputs.iter().map(name).collect::<Result<Vec<Ident>>>()?;
    let signature = |name: &str| Signature {
        ident: format_ident!("{name}"),
        ..sig.clone()
    };
    let [portable, avx2, avx512] = ["portable", "avx2", "avx512"].map(signature);
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #[inline(always)]
            #portable #block

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = #AVX2)]
            #avx2 { portable(#(#arguments),*) }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = #AVX512)]
            #avx512 { portable(#(#arguments),*) }

            #[cfg(target_arch = "x86_64")]
            match crate::cpu::isa() {
                crate::cpu::Isa::Portable => {}
                // SAFETY: the processor has the instructions of `isa` and of those below it.
                crate::cpu::Isa::Avx2 => return unsafe { avx2(#(#arguments),*) },
                // SAFETY: as above.
                _ => return unsafe { avx512(#(#arguments),*) },
            }
            portable(#(#arguments),*)
        }
    })
}

/// Returns the name of an argument.
fn name(argument: &FnArg) -> Result<Ident> {
    if let FnArg::Typed(argument) = argument
        && let Pat::Ident(name) = &*argument.pat
    {
        return Ok(name.ident.clone());
    }
    Err(Error::new_spanned(
        argument,
        "#[vectorized] needs a name for each argument",
    ))
}
