//! Closet: captures as streams of frames, pcap and pcapng, read and written, never more than one frame in memory.

mod reader;
mod pcap;
mod pcapng;
pub mod interface;
mod link;
mod window;
mod writer;

pub use interface::Interface;
pub use link::{RAW_IP, Receiver};
pub use reader::{Capture, CaptureError, Found, Frame};
pub use writer::Writer;

/// Frames that hold nothing for the gate; they go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Other {
    /// Another protocol on the link, such as ARP.
    NotIp,
    /// Another protocol in IP, by its number.
    NotTcp(u8),
    /// A fragment from behind the TCP header.
    LaterFragment,
    /// The capture kept too little of it to read the TCP header.
    CutByCapture,
    /// On an interface of a link type that replay does not read.
    UnknownLink(u32),
}

impl Other {
    /// What it is, in words.
    pub fn label(self) -> String {
        match self {
            Self::NotIp => "not IP".to_owned(),
            Self::NotTcp(protocol) => format!("IP protocol {}", protocol_name(protocol)),
            Self::LaterFragment => "later fragments".to_owned(),
            Self::CutByCapture => "cut by the capture before the end of the TCP header".to_owned(),
            Self::UnknownLink(number) => format!("on a link of type {number}, which replay does not read"),
        }
    }
}

fn protocol_name(protocol: u8) -> String {
    match etherparse::IpNumber(protocol).keyword_str() {
        Some(name) => name.to_owned(),
        None => protocol.to_string(),
    }
}
