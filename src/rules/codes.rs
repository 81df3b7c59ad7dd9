//! The catalogue of what can be wrong with rule files: a code for each, its reason, and a file that has it beside one that
//! has not.

use serde::{Serialize, Serializer};

use crate::rules::words;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The file is not TOML.
    Syntax,
    /// A section that does not exist, or is written as another kind of table.
    Section,
    /// A key that does not exist.
    UnknownKey,
    /// A key that must be there.
    MissingKey,
    /// A value of another type than the key takes.
    WrongType,
    /// A value of the right type that cannot be.
    BadValue,
    /// A list without members.
    EmptyList,
    /// A set that does not exist.
    UnknownSet,
    /// A set that contains itself, or is nested too deep.
    SetCycle,
    /// A set of one kind of thing where another is wanted.
    SetKind,
    /// A list in a file that cannot be read.
    ListFile,
    /// A name, set or setting that stands twice.
    Duplicate,
    /// A key that says nothing with the rule's action.
    IdleKey,
    /// A rule that does not exist.
    UnknownRule,
    /// Bits of the mark that are the gate's own.
    ReservedMark,
    /// Law 1: strip or not is decided once, at the SYN.
    Law1,
    /// Law 2: DSS, MP_FAIL and MP_FASTCLOSE of an accepted connection go through.
    Law2,
    /// Law 3: a join is refused by a RST with MP_TCPRST.
    Law3,
    /// Law 4: an ADD_ADDR is refused by dropping the pure ACK that carries it.
    Law4,
    /// Law 7: a SYN with MP_CAPABLE is neither dropped nor reset.
    Law7,
    /// A signature is taken out.
    VitalOption,
    /// What SYNs agreed on is taken out later.
    AgreedOption,
    /// A reject where no segment can be rejected.
    NothingToReject,
    /// A drop that only a retransmission will tell.
    SilentDrop,
    /// Conditions that can never be true together.
    Contradiction,
    /// A rule that earlier ones leave nothing to.
    Unreachable,
    /// A set that no rule names.
    UnusedSet,
    /// Two sets with addresses in common.
    OverlappingSets,
    /// A limit below what Linux hosts use.
    LowLimit,
    /// ADD_ADDR of version 0 is accepted.
    UnprovenAnnouncement,
    /// A file without a word.
    SaysNothing,
    /// There is more to say than anybody reads.
    TooMany,
}

/// A code, explained.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// Which.
    pub code: Code,
    /// Its number: the one spelling in messages, JSON and docs.
    pub id: &'static str,
    /// Its name, in a word.
    pub name: &'static str,
    /// What is wrong, and what that does, with the law or the clause of an RFC.
    pub why: &'static str,
    /// A rule file that has it.
    pub bad: &'static str,
    /// The same, mended.
    pub good: &'static str,
}

impl Code {
    /// Its number, as `MG021`.
    pub fn id(self) -> &'static str {
        self.explained().map_or("MG000", |explained| explained.id)
    }

    /// Its name, in a word.
    pub fn name(self) -> &'static str {
        self.explained().map_or("unknown", |explained| explained.name)
    }

    /// The code of that number, with or without its letters, or of that name.
    pub fn from_word(word: &str) -> Option<&'static Explained> {
        let word = word.trim().to_lowercase().replace('-', "_");
        let digits = word.strip_prefix("mg").unwrap_or(&word);
        let number: Option<u16> = digits.parse().ok().filter(|_| !digits.starts_with('+'));
        CATALOGUE.iter().find(|known| {
            let known_number = known.id.strip_prefix("MG").and_then(|number| number.parse().ok());
            known.name == word || (number.is_some() && number == known_number)
        })
    }

    /// The code that `word` most likely stands for.
    pub fn nearest(word: &str) -> Option<&'static Explained> {
        let known = CATALOGUE.iter().flat_map(|known| [known.name, known.id]);
        Self::from_word(words::nearest(word, known)?)
    }

    fn explained(self) -> Option<&'static Explained> {
        CATALOGUE.iter().find(|known| known.code == self)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

const fn row(
    code: Code,
    (id, name): (&'static str, &'static str),
    why: &'static str,
    bad: &'static str,
    good: &'static str,
) -> Explained {
    Explained { code, id, name, why, bad, good }
}

/// Every code, by number: 001 to 019 how a file is written, 021 to 029 the laws of refusing MPTCP, 031 to 039 other TCP and
/// what a refusal does, 041 to 059 what is surely not meant.
pub const CATALOGUE: [Explained; 32] = [
    row(
        Code::Syntax,
        ("MG001", "syntax"),
        "The file is not TOML, so nothing behind that place can be trusted.",
        "[policy]\ndefault = \"strip\n",
        "[policy]\ndefault = \"strip\"\n",
    ),
    row(
        Code::Section,
        ("MG002", "section"),
        "A rule file has [policy], [limits], [normalize], [sets] and any number of [[rule]], each written so.",
        "[rules]\nname = \"r\"\n",
        "[[rule]]\nname = \"r\"\nto = \"192.0.2.1\"\naction = \"accept\"\n",
    ),
    row(
        Code::UnknownKey,
        ("MG003", "unknown_key"),
        "A key that nobody knows would be a condition that nobody tests; it is refused, with the nearest known one.",
        "[[rule]]\nname = \"r\"\nprot = 443\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\nport = 443\naction = \"accept\"\n",
    ),
    row(
        Code::MissingKey,
        ("MG004", "missing_key"),
        "A rule needs a name, by which logs and metrics call it, and an action; [normalize] needs `allow`.",
        "[[rule]]\nname = \"r\"\nport = 443\n",
        "[[rule]]\nname = \"r\"\nport = 443\naction = \"accept\"\n",
    ),
    row(
        Code::WrongType,
        ("MG005", "wrong_type"),
        "The key takes another type of value: a number, a text, true or false, or a list of these.",
        "[[rule]]\nname = \"r\"\nport = true\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\nport = 443\naction = \"accept\"\n",
    ),
    row(
        Code::BadValue,
        ("MG006", "bad_value"),
        "The value is of the right type and yet cannot be: out of range, misspelt, or no address.",
        "[[rule]]\nname = \"r\"\nfrom = \"10.0.0.0/33\"\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\nfrom = \"10.0.0.0/8\"\naction = \"accept\"\n",
    ),
    row(
        Code::EmptyList,
        ("MG007", "empty_list"),
        "A condition on nothing matches nothing; to match everything, leave the key out.",
        "[[rule]]\nname = \"r\"\nport = []\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\nport = [443]\naction = \"accept\"\n",
    ),
    row(
        Code::UnknownSet,
        ("MG008", "unknown_set"),
        "\"@name\" stands for a set of [sets], in this file or another of the same load.",
        "[sets]\nerp = \"192.0.2.1\"\n[[rule]]\nname = \"r\"\nto = [\"@epr\", \"@erp\"]\naction = \"accept\"\n",
        "[sets]\nerp = \"192.0.2.1\"\n[[rule]]\nname = \"r\"\nto = \"@erp\"\naction = \"accept\"\n",
    ),
    row(
        Code::SetCycle,
        ("MG009", "set_cycle"),
        "Sets may have other sets in them, sixteen deep at most and never themselves.",
        "[sets]\na = \"@b\"\nb = \"@a\"\n",
        "[sets]\na = \"@b\"\nb = \"192.0.2.1\"\n[[rule]]\nname = \"r\"\nto = \"@a\"\naction = \"accept\"\n",
    ),
    row(
        Code::SetKind,
        ("MG010", "set_kind"),
        "A set holds addresses, or ports, or names of interfaces and rules; which ones, its members tell.",
        "[sets]\nweb = [80, 443]\n[[rule]]\nname = \"r\"\nto = \"@web\"\naction = \"accept\"\n",
        "[sets]\nweb = [80, 443]\n[[rule]]\nname = \"r\"\nport = \"@web\"\naction = \"accept\"\n",
    ),
    row(
        Code::ListFile,
        ("MG011", "list_file"),
        "A set can take its addresses from a file, one a line; the file must be there when the rules are loaded.",
        "[sets]\nbad = { file = \"no-such-list.txt\" }\n[[rule]]\nname = \"r\"\nfrom = \"@bad\"\naction = \"strip\"\n",
        "[sets]\nbad = \"192.0.2.0/24\"\n[[rule]]\nname = \"r\"\nfrom = \"@bad\"\naction = \"strip\"\n",
    ),
    row(
        Code::Duplicate,
        ("MG012", "duplicate"),
        "Names of rules and sets are unique over all files, and a setting stands in one file: which one would speak is \
         nobody's guess.",
        "[[rule]]\nname = \"r\"\nport = 80\naction = \"accept\"\n[[rule]]\nname = \"r\"\nport = 443\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\nport = 80\naction = \"accept\"\n[[rule]]\nname = \"s\"\nport = 443\naction = \"accept\"\n",
    ),
    row(
        Code::IdleKey,
        ("MG013", "idle_key"),
        "The key says nothing with this action: only a reject sends MP_TCPRST, and only what goes on has a mark.",
        "[[rule]]\nname = \"r\"\noption = \"mp_capable\"\naction = \"strip\"\nreason = \"prohibited\"\n",
        "[[rule]]\nname = \"r\"\noption = \"mp_join\"\naction = \"reject\"\nreason = \"prohibited\"\n",
    ),
    row(
        Code::UnknownRule,
        ("MG014", "unknown_rule"),
        "`parent_rule` names a rule of the same load that accepts connections; a connection remembers which one spoke.",
        "[[rule]]\nname = \"web\"\nport = 443\naction = \"accept\"\n\
         [[rule]]\nname = \"r\"\nparent_rule = \"wbe\"\noption = \"mp_join\"\naction = \"reject\"\n",
        "[[rule]]\nname = \"web\"\nport = 443\noption = \"mp_capable\"\naction = \"accept\"\n\
         [[rule]]\nname = \"r\"\nparent_rule = \"web\"\noption = \"mp_join\"\naction = \"reject\"\n",
    ),
    row(
        Code::ReservedMark,
        ("MG015", "reserved_mark"),
        "Four bits of the mark (0x78000000) are how the kernel's rules and the gate speak of packets.",
        "[[rule]]\nname = \"r\"\noption = \"mp_capable\"\naction = \"accept\"\nset_mark = \"0x10000000/0x10000000\"\n",
        "[[rule]]\nname = \"r\"\noption = \"mp_capable\"\naction = \"accept\"\nset_mark = \"0x10/0xff\"\n",
    ),
    row(
        Code::Law1,
        ("MG021", "law_1"),
        "Law 1: strip or not is decided once per connection, at the SYN, and remembered (RFC 8684 3.1). Later both hosts \
         count on what they agreed: without MP_CAPABLE in the third ACK the server falls back, and the client learns it late.",
        "[[rule]]\nname = \"r\"\noption = \"mp_capable\"\nsegment = \"ack\"\naction = \"strip\"\n",
        "[[rule]]\nname = \"r\"\noption = \"mp_capable\"\nsegment = \"syn\"\naction = \"strip\"\n",
    ),
    row(
        Code::Law2,
        ("MG022", "law_2"),
        "Law 2: DSS, MP_FAIL and MP_FASTCLOSE of an accepted connection go through. Without DSS on all of several subflows \
         the connection dies, without MP_FAIL data is corrupted, without MP_FASTCLOSE the peer hangs (RFC 8684 3.3, 3.7, 3.5).",
        "[[rule]]\nname = \"r\"\noption = \"dss\"\naction = \"strip\"\n",
        "[[rule]]\nname = \"r\"\noption = \"mp_capable\"\naction = \"strip\"\n",
    ),
    row(
        Code::Law3,
        ("MG023", "law_3"),
        "Law 3: a join is refused by a RST with MP_TCPRST (RFC 8684 3.6): one SYN, no retry, the connection is unharmed. \
         Dropped, it is sent again and again, eight times in 15 s; stripped, it is a new connection for the server, half-open until a RST.",
        "[[rule]]\nname = \"r\"\noption = \"mp_join\"\naction = \"drop\"\n",
        "[[rule]]\nname = \"r\"\noption = \"mp_join\"\naction = \"reject\"\n",
    ),
    row(
        Code::Law4,
        ("MG024", "law_4"),
        "Law 4: an ADD_ADDR is refused by dropping the pure ACK that carries it. That is always safe: the sender tries four \
         times, then stops. Linux sends it alone as the fourth ACK; stripped, that is an ACK of data without DSS, and the \
         connection falls back (RFC 8684 3.1). With payload the option alone goes, once both hosts sent DATA_ACKs.",
        "[[rule]]\nname = \"r\"\nannounces = \"private\"\nsegment = \"ack\"\naction = \"strip\"\n",
        "[[rule]]\nname = \"r\"\nannounces = \"private\"\naction = \"drop\"\n",
    ),
    row(
        Code::Law7,
        ("MG027", "law_7"),
        "Law 7: a SYN with MP_CAPABLE is neither dropped nor reset to refuse MPTCP. Dropped, the client waits 3 s and its \
         whole host turns MPTCP off for an hour (`net.mptcp.blackhole_timeout`); reset, the application is refused.",
        "[[rule]]\nname = \"r\"\noption = \"mp_capable\"\naction = \"drop\"\n",
        "[[rule]]\nname = \"r\"\noption = \"mp_capable\"\naction = \"strip\"\n",
    ),
    row(
        Code::VitalOption,
        ("MG031", "vital_option"),
        "MD5 (RFC 2385) and TCP-AO (RFC 5925) sign segments: who uses them drops what comes without, so BGP sessions do not \
         open. TCP-AO signs the other options too (RFC 5925 5.1), so any strip breaks a segment that has it.",
        "[[rule]]\nname = \"r\"\nkind = \"md5\"\naction = \"strip\"\n",
        "[[rule]]\nname = \"r\"\nkind = \"fast_open\"\naction = \"strip\"\n",
    ),
    row(
        Code::AgreedOption,
        ("MG032", "agreed_option"),
        "Window scale, SACK, timestamps and their like are agreed on by SYN and SYN/ACK. Taken out of the SYN, both hosts do \
         without. Without window scale in the SYN/ACK alone one host scales and the other does not (RFC 7323 2.2); without \
         timestamps in mid-connection segments are dropped (RFC 7323 3.2).",
        "[[rule]]\nname = \"r\"\nkind = \"window_scale\"\nsegment = \"syn_ack\"\naction = \"strip\"\n",
        "[[rule]]\nname = \"r\"\nkind = \"window_scale\"\nsegment = \"syn\"\naction = \"strip\"\n",
    ),
    row(
        Code::NothingToReject,
        ("MG033", "nothing_to_reject"),
        "A RST refuses what asks for something. Nobody answers a RST (RFC 9293 3.10.7.1), and an announcement asks for \
         nothing: the RST would end the subflow that carries it.",
        "[[rule]]\nname = \"r\"\noption = \"mp_prio\"\naction = \"reject\"\n",
        "[[rule]]\nname = \"r\"\noption = \"mp_prio\"\naction = \"strip\"\n",
    ),
    row(
        Code::SilentDrop,
        ("MG034", "silent_drop"),
        "The segment is lost with all that it carries, and nobody is told. Its sender learns it from a retransmission timeout \
         alone, again and again, since what is sent again is dropped again.",
        "[[rule]]\nname = \"r\"\noption = \"remove_addr\"\naction = \"drop\"\n",
        "[[rule]]\nname = \"r\"\noption = \"remove_addr\"\naction = \"strip\"\n",
    ),
    row(
        Code::Contradiction,
        ("MG041", "contradiction"),
        "No segment can meet all conditions of the rule, so it never speaks.",
        "[[rule]]\nname = \"r\"\noption = \"mp_join\"\nstanding = \"new_connection\"\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\noption = \"mp_join\"\nstanding = \"join_known\"\naction = \"accept\"\n",
    ),
    row(
        Code::Unreachable,
        ("MG042", "unreachable"),
        "Earlier rules, one or several together, speak first on all that the rule matches, so it never speaks.",
        "[[rule]]\nname = \"low\"\nport = \"0-1023\"\naction = \"accept\"\n[[rule]]\nname = \"high\"\nport = \"1024-65535\"\naction = \"accept\"\n\
         [[rule]]\nname = \"r\"\nport = \"443-8443\"\nfrom = \"::1\"\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\nport = \"443-8443\"\nfrom = \"::1\"\naction = \"accept\"\n[[rule]]\nname = \"low\"\nport = \"0-1023\"\naction = \"accept\"\n\
         [[rule]]\nname = \"high\"\nport = \"1024-65535\"\naction = \"accept\"\n",
    ),
    row(
        Code::UnusedSet,
        ("MG043", "unused_set"),
        "No rule names the set: it was forgotten, or the rule that should name it was.",
        "[sets]\nlonely = \"192.0.2.1\"\n",
        "[sets]\nlonely = \"192.0.2.1\"\n[[rule]]\nname = \"r\"\nto = \"@lonely\"\naction = \"accept\"\n",
    ),
    row(
        Code::OverlappingSets,
        ("MG044", "overlapping_sets"),
        "Two sets have addresses in common and neither has the other in it. Which rule speaks on those depends on an order \
         that nobody may have thought of; a set that is part of another by \"@name\" is meant to be.",
        "[sets]\ncampus = \"10.0.0.0/8\"\nlab = \"10.9.0.0/16\"\n\
         [[rule]]\nname = \"r\"\nfrom = \"@lab\"\nto = \"@campus\"\naction = \"accept\"\n",
        "[sets]\ncampus = [\"10.0.0.0/8\", \"@lab\"]\nlab = \"10.9.0.0/16\"\n\
         [[rule]]\nname = \"r\"\nfrom = \"@lab\"\nto = \"@campus\"\naction = \"accept\"\n",
    ),
    row(
        Code::LowLimit,
        ("MG045", "low_limit"),
        "Linux hosts open two subflows beside the first by default (`ip mptcp limits`); below that honest joins are refused.",
        "[limits]\nsubflows = 1\n",
        "[limits]\nsubflows = 8\n",
    ),
    row(
        Code::UnprovenAnnouncement,
        ("MG046", "unproven_announcement"),
        "ADD_ADDR of version 0 has no HMAC: whoever can send a segment into a connection leads its next subflow where he wants \
         (RFC 7430 2). Version 1 proves its announcements.",
        "[policy]\nunproven_announcement = \"accept\"\n",
        "[policy]\nunproven_announcement = \"drop\"\n",
    ),
    row(
        Code::SaysNothing,
        ("MG047", "says_nothing"),
        "The file has no word that counts: all is as without it.",
        "# later\n",
        "[policy]\ndefault = \"accept\"\n",
    ),
    row(
        Code::TooMany,
        ("MG099", "too_many"),
        "More than 500 things are wrong, as in a file that is no rule file: more than anybody mends before asking again. The \
         first 500 are told, the others are counted.",
        "",
        "[policy]\ndefault = \"accept\"\n",
    ),
];
