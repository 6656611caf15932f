//! Where documents come from: folders of files, walked once or followed.

pub mod files;
pub mod manifest;
pub mod watch;
