//! RFC 6455 by section: each rule that binds an endpoint without sockets or clock, held on the server's side
//! and on the client's. Written from the standard and the crate's public interface. A test is named for the
//! behaviour; the section and, where its words matter, the sentence stand beside it.

/// Each check below becomes two tests: it takes the side that is tested, and is named for what that side
/// does.
macro_rules! both_sides {
    ($($check:ident,)*) => {
        $(
            mod $check {
                use corecast_protocol::Side;

                #[test]
                fn server() {
                    super::$check(Side::Server);
                }

                #[test]
                fn client() {
                    super::$check(Side::Client);
                }
            }
        )*
    };
}

#[path = "protocol_rfc6455/security.rs"]
mod section_10_security;
#[path = "protocol_rfc6455/opening_client.rs"]
mod section_4_1_client_requirements;
#[path = "protocol_rfc6455/opening_server.rs"]
mod section_4_2_server_requirements;
#[path = "protocol_rfc6455/control_frames.rs"]
mod section_5_5_control_frames;
#[path = "protocol_rfc6455/framing.rs"]
mod section_5_framing;
#[path = "protocol_rfc6455/messages.rs"]
mod section_5_messages;
#[path = "protocol_rfc6455/sending_and_receiving.rs"]
mod section_6_sending_and_receiving;
#[path = "protocol_rfc6455/closing.rs"]
mod section_7_closing;
#[path = "protocol_rfc6455/utf8.rs"]
mod section_8_1_utf8;
#[path = "protocol_rfc6455/extensions.rs"]
mod section_9_1_extensions;
