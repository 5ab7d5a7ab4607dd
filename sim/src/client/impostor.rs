//! A client that does not know the secret, and tries.

use kernel::wire::client::auth;
use kernel::wire::server::ServerMessage;

use super::{Action, Client, IMPOSTOR, Line, Said};

impl Client {
    pub(super) fn is_impostor(&self) -> bool {
        self.config.name.starts_with(IMPOSTOR)
    }

    /// Asked for a token, it says what it wants first, and then a wrong one. Anything but a refusal is too much.
    pub(super) fn refused_entry(&mut self, at_us: u64, message: &ServerMessage<'_>, out: &mut Vec<Action>) {
        match (message, self.line) {
            (ServerMessage::AuthRequired, Line::Greeting(conn)) => {
                while self.ask_writes(at_us, conn, out) {}
                out.push(Action::Send(conn, auth(self.config.token.unwrap_or_default())));
            }
            (ServerMessage::AuthRequired | ServerMessage::Error { .. }, _) => {}
            (ServerMessage::AuthFail { .. }, _) => self.give_up(at_us, out),
            (told, _) => out.push(Action::Intruded(format!("{told:?}"))),
        }
    }

    /// Until the plan has it try again.
    fn give_up(&mut self, at_us: u64, out: &mut Vec<Action>) {
        self.pending.clear();
        self.reads.clear();
        if let Line::Greeting(conn) | Line::Ready(conn) = self.line {
            out.push(self.says(conn, Said::GivesUp));
        }
        self.hang_up(at_us, out);
    }
}
