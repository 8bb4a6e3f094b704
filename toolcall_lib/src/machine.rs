//! The clock and the name of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// Returns the name of this machine, for people.
pub fn host() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer has the length that is given.
    let outcome = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    let len = name.iter().position(|&byte| byte == 0).unwrap_or(0);
    match outcome {
        0 if len > 0 => String::from_utf8_lossy(&name[..len]).into_owned(),
        _ => "this host".to_string(),
    }
}
