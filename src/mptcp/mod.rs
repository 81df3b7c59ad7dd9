//! Floor 1: what TCP option kind 30 means (RFC 8684, and RFC 6824 for version 0).

pub mod keys;
pub mod hmac;
pub mod option;
pub mod codec;
pub mod signals;
pub mod step;
pub mod refusal;

pub use keys::{Idsn, Key, Nonce, Token, Version};
pub use option::{Malformed, MptcpOption, ResetReason, Subtype};
pub use signals::{Signal, Signals, SubtypeSet, option_name, signals};
pub use step::Step;
