//! What tests of the built program share.
pub(crate) mod program;
