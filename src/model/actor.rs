//! Who gives orders without being a person or a pipeline.

/// The service itself, as the audit names it.
pub const SERVICE: &str = "waypost";
/// The origin.
pub const ORIGIN: &str = "origin";

/// Whether a name is one of theirs, which nobody else may have: the audit could not tell them apart.
pub fn is_reserved_actor(name: &str) -> bool {
    [SERVICE, ORIGIN].contains(&name)
}
