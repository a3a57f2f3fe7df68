//! The call that is sent: a `tools/call` with a body of 300 bytes.

use anyhow::Context as _;

use crate::Target;

const BODY: usize = 300;

/// The bytes of a request, and where the signature of its token is to be changed.
pub(crate) struct Request {
    bytes: Vec<u8>,
    signature: Option<std::ops::Range<usize>>,
    forged: u64,
}

impl Request {
    pub(crate) fn new(target: &Target) -> anyhow::Result<Self> {
        let before = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"tool_25","arguments":{"text":""#;
        let text = "x".repeat(BODY - before.len() - 4);
        let body = format!("{before}{text}\"}}}}}}");
        let mut head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: client/1.0\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n",
            target.path, target.host
        );
        let mut signature = None;
        if let Some(file) = &target.token {
            let token = std::fs::read_to_string(file).context("no token")?;
            head.push_str("authorization: Bearer ");
            head.push_str(token.trim());
            let start = head.rfind('.').context("no JWT")? + 1;
            signature = target.forge.then_some(start..head.len());
            head.push_str("\r\n");
        }
        let bytes = format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into();
        Ok(Self { bytes, signature, forged: 0 })
    }

    /// The next one; where tokens are forged, none has the signature of one before.
    pub(crate) fn next(&mut self) -> &[u8] {
        if let Some(signature) = self.signature.clone() {
            self.forged += 1;
            // letters and digits of base64url, whatever the number; the last character of all has unused bits
            let digits = format!("{:016x}", self.forged.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            for (byte, digit) in self.bytes.get_mut(signature).into_iter().flatten().zip(digits.bytes()) {
                *byte = digit;
            }
        }
        &self.bytes
    }
}
