//! TCP options other than those of MPTCP as words: well-formed, of the right length.

use crate::script::error::{Thing, Wrong};
use crate::script::words::Words;

/// The options' names.
pub(super) const NAMES: [&str; 9] =
    ["mss", "window_scale", "sack_permitted", "timestamps", "fast_open", "md5", "ao", "user_timeout", "exp"];

/// Any keyed hash: nobody on the way can check it.
const DIGEST: u8 = 0x6d;

/// Reads an option behind its name, kind and length first; `None` where the name is none of [`NAMES`].
pub(super) fn read(name: &str, words: &mut Words<'_, '_>) -> Result<Option<Vec<u8>>, Wrong> {
    let (kind, body) = match name {
        "mss" => (2, words.number_or(1460_u16, "0 to 65535")?.to_be_bytes().to_vec()),
        "window_scale" => (3, vec![words.number_or(7_u8, "0 to 255")?]),
        "sack_permitted" => (4, Vec::new()),
        "timestamps" => (8, vec![0, 0, 0, 1, 0, 0, 0, 0]),
        "fast_open" => (34, cookie(words)?),
        "md5" => (19, vec![DIGEST; 16]),
        // RFC 5925 2.2: a key id, the next one, and a MAC, mostly of 96 bits.
        "ao" => (29, [&[0, 0][..], &[DIGEST; 12]].concat()),
        "user_timeout" => (28, words.number_or(100_u16, "0 to 65535")?.to_be_bytes().to_vec()),
        "exp" => (254, experiment(words)?),
        _ => return Ok(None),
    };
    words.end(name)?;
    // A longer one fits into no header, and is refused with the packet.
    let len = u8::try_from(body.len() + 2).unwrap_or(u8::MAX);
    Ok(Some([vec![kind, len], body].concat()))
}

/// RFC 7413 4.1.1; an empty one asks for a cookie.
fn cookie(words: &mut Words<'_, '_>) -> Result<Vec<u8>, Wrong> {
    let cookie = words.hex_or_nothing()?;
    match cookie.len() {
        0 | 4 | 6 | 8 | 10 | 12 | 14 | 16 => Ok(cookie),
        len => {
            let right = "nothing, or 4 to 16 bytes, an even number";
            Err(Wrong::value(&format!("{len} bytes"), Thing::Cookie, right))
        }
    }
}

/// RFC 6994 3: an identifier of 16 or 32 bits, and what the experiment makes of the rest.
fn experiment(words: &mut Words<'_, '_>) -> Result<Vec<u8>, Wrong> {
    let id: u32 = words.number("an ExID such as 0xF989")?;
    let rest = words.hex_or_nothing()?;
    let id = u16::try_from(id).map_or_else(|_wide| id.to_be_bytes().to_vec(), |id| id.to_be_bytes().to_vec());
    Ok([id, rest].concat())
}
