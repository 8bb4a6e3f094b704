//! Checksums of files and texts.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// SHA-256 of the content of a file, in hexadecimal digits.
pub(crate) fn sha256_of_file(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io(path))?;
    sha256_of_all(file).map_err(Error::io(path))
}

/// SHA-256 of all that can be read, in hexadecimal digits.
pub(crate) fn sha256_of_all(mut source: impl Read) -> io::Result<String> {
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match source.read(&mut chunk)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&chunk[..read]),
        }
    }
}

/// SHA-256 of some bytes, in hexadecimal digits.
pub(crate) fn sha256_of(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// Two hexadecimal digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
