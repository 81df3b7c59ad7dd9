//! What is said on a connection, in pieces of a segment each: the beginning of something whose end the server waits for.

use crate::probe::ProbeError;
use crate::probe::questions::random;

/// Boxes that take a flow over once it carries data do so within some ten or twenty packets: each piece is one, and brings an
/// acknowledgment.
const PIECES: usize = 16;

/// What gateways for FTP look for at the beginning of a segment; in a request it is the value of a header that nobody knows.
pub(super) const PORT_LINE: &[u8] = b"PORT 10,0,1,2,4,1\r\n";

/// Ports on which servers expect TLS, and hang up on who says anything else (IANA service names).
const TLS_PORTS: [u16; 8] = [443, 465, 636, 853, 990, 993, 995, 8443];

/// TLS: a record of 512 bytes, a ClientHello of 508 (RFC 8446 4.1.2, 5.1). It never ends, so no server answers it.
const CLIENT_HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// No session, and 432 bytes of cipher suites.
const NO_SESSION: [u8; 3] = [0, 1, 0xb0];

/// TLS_AES_128_GCM_SHA256, over and over; with the line that comes between they are fewer than was said.
const CIPHER_SUITES: [u8; 24] =
    [19, 1, 19, 1, 19, 1, 19, 1, 19, 1, 19, 1, 19, 1, 19, 1, 19, 1, 19, 1, 19, 1, 19, 1];

/// What is said.
#[derive(Debug)]
pub(super) struct Speech {
    /// One after the other, [`PORT_LINE`] behind them.
    pub(super) pieces: Vec<Vec<u8>>,
    /// Ends it, where an answer is of use.
    pub(super) end: Option<&'static [u8]>,
}

impl Speech {
    /// A request for a page; on ports of TLS a beginning that servers of TLS wait to the end of.
    pub(super) fn for_port(port: u16) -> Result<Self, ProbeError> {
        if TLS_PORTS.contains(&port) { Self::tls() } else { Ok(Self::http()) }
    }

    /// The whole request at once.
    pub(super) fn request() -> Vec<u8> {
        b"GET / HTTP/1.0\r\nAccept: application/json\r\nConnection: close\r\n\r\n".to_vec()
    }

    fn http() -> Self {
        let head = ["GET / HTTP/1.0\r\n", "User-Agent: mpgate-probe\r\n", "Accept: application/json\r\n"];
        let mut pieces: Vec<_> = head.iter().map(|line| line.as_bytes().to_vec()).collect();
        let lines = (head.len()..PIECES - 1).map(|number| format!("X-Probe-{number}: how is the way?\r\n"));
        pieces.extend(lines.map(String::into_bytes));
        pieces.push(b"X-Probe:".to_vec());
        Self { pieces, end: Some(b"Connection: close\r\n\r\n") }
    }

    fn tls() -> Result<Self, ProbeError> {
        let opening = [&CLIENT_HELLO[..], &random::<32>()?, &NO_SESSION].concat();
        let mut pieces = vec![opening];
        pieces.resize(PIECES, CIPHER_SUITES.to_vec());
        Ok(Self { pieces, end: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_whole_only_with_its_end() {
        let Speech { pieces, end } = Speech::for_port(8080).unwrap();
        let text = String::from_utf8([pieces.concat(), PORT_LINE.to_vec()].concat()).unwrap();
        assert!(text.ends_with("X-Probe:PORT 10,0,1,2,4,1\r\n") && !text.contains("\r\n\r\n"), "{text}");
        assert!(end.unwrap().ends_with(b"\r\n\r\n"));
        assert_eq!(pieces.len(), PIECES);
    }

    #[test]
    fn the_record_of_tls_never_ends() {
        let Speech { pieces, end } = Speech::for_port(443).unwrap();
        let said = [pieces.concat(), PORT_LINE.to_vec()].concat();
        let record = usize::from(u16::from_be_bytes([said[3], said[4]]));
        assert!(said.len() < 5 + record, "{} of {record}", said.len());
        assert_eq!((pieces.len(), end), (PIECES, None));
    }
}
