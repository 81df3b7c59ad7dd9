//! One segment as both see it: its frame, its ends and its kind.

use serde_json::Value;

/// One segment in the words of both.
pub(super) struct Segment<'s> {
    /// The capture's name.
    pub(super) capture: &'s str,
    pub(super) ours: &'s Value,
    /// The layers of tshark.
    pub(super) layers: &'s Value,
}

impl<'s> Segment<'s> {
    pub(super) fn new(capture: &'s str, ours: &'s Value, theirs: &'s Value) -> Self {
        Self { capture, ours, layers: &theirs["_source"]["layers"] }
    }

    /// Where in the captures it is, for whoever has to look.
    pub(super) fn place(&self) -> String {
        format!("{}, frame {}", self.capture, self.ours["frame"])
    }

    /// A value of tshark's, wherever below TCP it stands; the name of a field is its own.
    pub(super) fn their(&self, name: &str) -> Option<&'s str> {
        find(&self.layers["tcp"], name)
    }

    /// The address of one end.
    pub(super) fn address(&self, end: &str) -> String {
        let text = self.ours[end].as_str().unwrap();
        text.rsplit_once(':').unwrap().0.to_owned()
    }

    /// Frame, time, ends and kind are the same.
    pub(super) fn is_the_same(&self) {
        let Self { ours, layers, .. } = self;
        let what = self.place();
        let frame = &layers["frame"];
        assert_eq!(ours["frame"].to_string(), frame["frame.number"].as_str().unwrap(), "{what}");
        let time: f64 = frame["frame.time_relative"].as_str().unwrap().parse().unwrap();
        assert!((ours["time"].as_f64().unwrap() - time).abs() < 1e-9, "{what}: time");
        let tcp = &layers["tcp"];
        for end in ["src", "dst"] {
            let port = tcp[format!("tcp.{end}port")].as_str().unwrap();
            let v4 = layers["ip"][format!("ip.{end}")].as_str();
            let v6 = || layers["ipv6"][format!("ipv6.{end}")].as_str().unwrap();
            let address = v4.map_or_else(|| format!("[{}]", v6()), str::to_owned);
            assert_eq!(ours[end], format!("{address}:{port}"), "{what}");
        }
        assert_eq!(ours["segment"], kind(tcp), "{what}");
    }
}

fn kind(tcp: &Value) -> &'static str {
    let flags = tcp["tcp.flags"].as_str().unwrap().trim_start_matches("0x");
    match u16::from_str_radix(flags, 16).unwrap() {
        flags if flags & 0x04 != 0 => "rst",
        flags if flags & 0x12 == 0x12 => "syn_ack",
        flags if flags & 0x02 != 0 => "syn",
        flags if flags & 0x01 != 0 => "fin",
        _ if tcp["tcp.len"] != "0" => "data",
        _ => "ack",
    }
}

fn find<'v>(tree: &'v Value, name: &str) -> Option<&'v str> {
    tree.as_object()?
        .iter()
        .find_map(|(key, value)| if key == name { value.as_str() } else { find(value, name) })
}
