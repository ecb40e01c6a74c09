//! Stories told to the whole running system.
