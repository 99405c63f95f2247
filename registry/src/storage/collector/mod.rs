//! Collection, online: what nobody references is retired, then listed for, then deleted (rule 3).

pub(super) mod notes;
