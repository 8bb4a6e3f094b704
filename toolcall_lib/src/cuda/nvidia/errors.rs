//! Errors of CUDA's driver.

use crate::error::Error;
use cudarc::driver::result::DriverError;
use cudarc::driver::sys;
use std::fmt;

/// Makes an error for `map_err`: the driver refused while `doing` something.
pub(super) fn cuda(doing: impl fmt::Display) -> impl FnOnce(DriverError) -> Error {
    let doing = doing.to_string();
    move |error| {
        let text = error
            .error_string()
            .map(|text| text.to_string_lossy().into_owned());
        let advice = match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                "; set a smaller `max_tokens_per_tree`, or end other programs that use the GPU"
            }
            _ => "",
        };
        let problem = text.unwrap_or_else(|_| format!("{:?}", error.0));
        Error::invalid("CUDA", format!("{doing}: {problem}{advice}"))
    }
}
