//! What a client has the cluster do as an operator: it asks once, on the line that is open then, and learns what came of it from the
//! cluster itself.

use kernel::wire::admin::{self, ChangeAsked, Order};

use super::{Action, Client, Line};

impl Client {
    /// Asks that a node leaves the cluster, if there is a line and an operator at it.
    pub fn has_leave(&self, node: &str, out: &mut Vec<Action>) {
        let Line::Ready(conn) = self.line else { return };
        if self.config.exchange || self.is_impostor() {
            return;
        }
        let order = Order::Leave;
        out.push(Action::Send(conn, admin::change_asked(&ChangeAsked { order, node })));
    }
}
