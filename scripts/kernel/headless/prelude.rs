// Runs before the first cell of a notebook that run_notebook.py runs. evcxr wraps each cell in code that prints these
// two lines when `?` met an `Err` or a panic was caught, and then calls the cell well done. Here it ends the process.
macro_rules! println {
    ("{}", evcxr_internal_runtime::USER_ERROR_OCCURRED) => { ::std::process::exit(1) };
    ("EVCXR_PANIC_NOTIFICATION") => { ::std::process::exit(1) };
    ($($text:tt)*) => { ::std::println!($($text)*) };
}
