//! What a client has the cluster do as an operator: it asks once, on the line that is open then, and learns what came of it from the
//! cluster itself.

use kernel::wire::admin::{self, ChangeAsked, Order};

use super::{Action, Client, Line};

impl Client {
    /// Asks that a node leaves the cluster. Whether there is a line, and an operator at it.
    pub fn has_leave(&self, node: &str, out: &mut Vec<Action>) -> bool {
        let order = Order::Leave;
        match self.line {
            Line::Ready(conn) if !self.config.exchange && !self.is_impostor() => {
                out.push(Action::Send(conn, admin::change_asked(&ChangeAsked { order, node })));
                true
            }
            _ => false,
        }
    }
}
