//! The two hosts of a connection.

/// A host of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who sent the first SYN.
    Opener,
    /// Who answered it.
    Acceptor,
}

impl Side {
    /// The other host.
    pub const fn other(self) -> Self {
        match self {
            Self::Opener => Self::Acceptor,
            Self::Acceptor => Self::Opener,
        }
    }
}

/// Something of each host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sides<T> {
    /// The opener's.
    pub opener: T,
    /// The acceptor's.
    pub acceptor: T,
}

impl<T> Sides<T> {
    /// That host's.
    pub const fn at(&self, side: Side) -> &T {
        match side {
            Side::Opener => &self.opener,
            Side::Acceptor => &self.acceptor,
        }
    }

    /// That host's, to change.
    pub const fn at_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Opener => &mut self.opener,
            Side::Acceptor => &mut self.acceptor,
        }
    }
}
