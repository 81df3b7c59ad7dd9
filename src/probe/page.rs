//! What a page of `mpgate checkme` says of the connection that asks for it: what arrived at the server.

use serde::Deserialize;

/// What it says, of all that it says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Page {
    /// The server's side of the connection is MPTCP.
    pub(super) mptcp: bool,
    /// Why it is not.
    pub(super) reason: Option<String>,
    /// The SYN as it arrived; absent where the server did not see it.
    pub(super) syn: Option<ArrivedSyn>,
}

/// A SYN at the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ArrivedSyn {
    /// The version in its MP_CAPABLE; absent where it had none.
    pub(super) mp_capable: Option<u8>,
}

impl Page {
    /// Reads the answer to a request in HTTP/1.0; `None` where another page answers, or nobody.
    pub(super) fn read(answer: &[u8]) -> Option<Self> {
        let (head, body) = std::str::from_utf8(answer).ok()?.split_once("\r\n\r\n")?;
        if !head.starts_with("HTTP/1.") {
            return None;
        }
        serde_json::from_str(body).ok()
    }

    /// The SYN arrived without MP_CAPABLE, and the server saw that.
    pub(super) fn syn_came_without(&self) -> bool {
        self.syn.as_ref().is_some_and(|syn| syn.mp_capable.is_none())
    }

    /// The SYN arrived with MP_CAPABLE at a server that speaks MPTCP.
    pub(super) fn syn_came_with(&self) -> bool {
        self.syn.as_ref().is_some_and(|syn| syn.mp_capable.is_some())
            && self.reason.as_deref() != Some("server_off")
    }

    /// MPTCP is off at the server.
    pub(super) fn is_off(&self) -> bool {
        self.reason.as_deref() == Some("server_off")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_checkme_is_known_among_others() {
        let answer = |body: &str| format!("HTTP/1.0 200 OK\r\nserver: any\r\n\r\n{body}").into_bytes();
        let read = |body: &str| Page::read(&answer(body));
        let lost = read(r#"{"mptcp":false,"reason":"no_mp_capable","token":null,"syn":{"options":["mss"],"mp_capable":null}}"#)
            .unwrap();
        assert!(!lost.mptcp && lost.syn_came_without() && !lost.syn_came_with());
        let came =
            read(r#"{"mptcp":false,"reason":"handshake_fell_back","syn":{"options":[],"mp_capable":1}}"#)
                .unwrap();
        assert!(came.syn_came_with() && !came.syn_came_without() && !came.is_off());
        let off =
            read(r#"{"mptcp":false,"reason":"server_off","syn":{"options":[],"mp_capable":1}}"#).unwrap();
        assert!(off.is_off() && !off.syn_came_with());
        let unseen = read(r#"{"mptcp":false,"reason":"syn_unseen","syn":null}"#).unwrap();
        assert!(!unseen.syn_came_with() && !unseen.syn_came_without());
        for other in ["<html></html>", "{}", ""] {
            assert_eq!(read(other), None);
        }
        assert_eq!(Page::read(b"220 ready\r\n"), None);
    }
}
