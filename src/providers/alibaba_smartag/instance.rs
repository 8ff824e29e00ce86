//! Which instance a target belongs to: the one that the source names, or the one that stands before the user's name in
//! the target's id, `INSTANCE/USER`.

use crate::providers::Part;

/// Where the instance of a target is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instances {
    /// By the source: all targets are users of this one.
    One(String),
    /// By each target.
    Named,
}

impl Instances {
    /// A target's instance and user.
    pub fn split<'a>(&'a self, id: &'a str) -> (&'a str, &'a str) {
        match self {
            Self::One(instance) => (instance, id),
            Self::Named => (instance_of(id), user_of(id)),
        }
    }

    /// The id of a target.
    pub fn join(&self, instance: &str, user: &str) -> String {
        match self {
            Self::One(_) => user.to_owned(),
            Self::Named => format!("{instance}/{user}"),
        }
    }

    /// What ids have in common that one call may ask for.
    pub fn part(&self) -> Part {
        match self {
            Self::One(_) => |_| "",
            Self::Named => instance_of,
        }
    }
}

/// No instance's id has a `/`; a user's name may have one.
fn instance_of(id: &str) -> &str {
    id.split_once('/').map_or("", |(instance, _)| instance)
}

/// The user in an id that names its instance.
pub fn user_of(id: &str) -> &str {
    id.split_once('/').map_or("", |(_, user)| user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_split_at_its_first_stroke_where_the_source_names_no_instance() {
        assert_eq!(Instances::Named.split("sag-1/a/b@corp"), ("sag-1", "a/b@corp"));
        assert_eq!(Instances::Named.split("plain"), ("", ""));
        let one = Instances::One("sag-1".into());
        assert_eq!(one.split("a/b"), ("sag-1", "a/b"));
        for instances in [one, Instances::Named] {
            let id = instances.join("sag-1", "a/b");
            assert_eq!(instances.split(&id), ("sag-1", "a/b"));
        }
    }
}
