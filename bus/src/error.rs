//! What is refused, under the names that clients of the Secret Service and of D-Bus know.

/// Why a call is not done. No text holds anything that was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The vault is locked, or the item is guarded.
    #[error("it is locked; unlock it first")]
    IsLocked,
    /// No session of this connection has this path.
    #[error("this connection has no such session; open one")]
    NoSession,
    /// There is no such object, or no longer.
    #[error("there is no such object")]
    NoSuchObject,
    /// The object has no such interface.
    #[error("the object has no such interface")]
    UnknownInterface,
    /// The interface has no such method.
    #[error("the object has no such method")]
    UnknownMethod,
    /// The interface has no such property.
    #[error("the object has no such property")]
    UnknownProperty,
    /// The property cannot be set.
    #[error("this property cannot be set")]
    PropertyReadOnly,
    /// The arguments are not what the method takes.
    #[error("{0}")]
    InvalidArgs(&'static str),
    /// The arguments are refused by the daemon, which says why.
    #[error("{0}")]
    Refused(String),
    /// What is not served.
    #[error("{0}")]
    NotSupported(&'static str),
    /// It is too large, or too many.
    #[error("{0}")]
    LimitsExceeded(&'static str),
    /// A person or a rule has denied it.
    #[error("a person has denied this")]
    Denied,
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// With a text of our own.
    pub(crate) fn failed(text: &str) -> Self {
        Self::Failed(text.to_owned())
    }

    /// The error's name on the bus.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::IsLocked => "org.freedesktop.Secret.Error.IsLocked",
            Self::NoSession => "org.freedesktop.Secret.Error.NoSession",
            Self::NoSuchObject => "org.freedesktop.Secret.Error.NoSuchObject",
            Self::UnknownInterface => "org.freedesktop.DBus.Error.UnknownInterface",
            Self::UnknownMethod => "org.freedesktop.DBus.Error.UnknownMethod",
            Self::UnknownProperty => "org.freedesktop.DBus.Error.UnknownProperty",
            Self::PropertyReadOnly => "org.freedesktop.DBus.Error.PropertyReadOnly",
            Self::InvalidArgs(_) | Self::Refused(_) => "org.freedesktop.DBus.Error.InvalidArgs",
            Self::NotSupported(_) => "org.freedesktop.DBus.Error.NotSupported",
            Self::LimitsExceeded(_) => "org.freedesktop.DBus.Error.LimitsExceeded",
            Self::Denied => "org.freedesktop.DBus.Error.AccessDenied",
            Self::Failed(_) => "org.freedesktop.DBus.Error.Failed",
        }
    }
}

impl From<zbus::Error> for Error {
    fn from(_: zbus::Error) -> Self {
        // Its text can quote what was sent.
        Self::failed("the answer cannot be sent")
    }
}
