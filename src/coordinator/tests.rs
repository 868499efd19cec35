//! A coordinator whose table changes, in this process: nodes that write down what they are sent, and a test in place of
//! the membership.

mod bench;
mod fake;
mod links;
mod moving;
