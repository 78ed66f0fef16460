//! Errors from other crates.

use std::{error, fmt, sync::Arc};

/// An error of another crate's type, such as a loader's error that names a file.
///
/// Two causes are equal if their messages are.
#[derive(Clone)]
pub struct Cause(Arc<dyn error::Error + Send + Sync>);

impl Cause {
    pub(super) fn new(error: Box<dyn error::Error + Send + Sync>) -> Self {
        Self(error.into())
    }

    /// The error itself, if it is of this type.
    #[must_use]
    pub fn downcast_ref<E: error::Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl error::Error for Cause {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source()
    }
}
