//! Requests of devices that have no browser (RFC 8628), and the codes that people type for them.

use serde::{Deserialize, Serialize};

use super::{client::Client, grant::Grant, request::Asked, secret::Digest};
use crate::outside::{NoRandomness, Rng, Timestamp};

/// Seconds that are added to the wait of a device which asks too often (RFC 8628 §3.5).
pub(crate) const SLOW_DOWN_SECONDS: i64 = 5;

/// A device that waits for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Of the device code.
    pub(crate) digest: Digest,
    /// Of the user code, in the one spelling that is compared.
    pub(crate) user_code: Digest,
    pub(crate) client_id: String,
    /// What it asked for, as JSON.
    pub(crate) content: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Seconds between two questions.
    pub(crate) poll_seconds: i64,
    pub(crate) state: DeviceState,
}

/// How far a device has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceState {
    Waiting,
    Denied,
    Approved,
    Redeemed,
}

impl DeviceState {
    const ALL: [Self; 4] = [Self::Waiting, Self::Denied, Self::Approved, Self::Redeemed];

    /// As stored.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Denied => "denied",
            Self::Approved => "approved",
            Self::Redeemed => "redeemed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What a device that asks is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Polled {
    pub(crate) device: Device,
    /// It asked before its wait was over, which has become longer.
    pub(crate) too_soon: bool,
    /// What the user gave it.
    pub(crate) grant: Option<Grant>,
}

/// What a device asked for, and what its user is shown of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeviceRequest {
    pub(crate) client: Client,
    pub(crate) asked: Asked,
    /// Where it asked from.
    pub(crate) address: String,
}

/// The code that a user types: eight letters that cannot be taken for one another and make no words (RFC 8628 §6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserCode(String);

impl UserCode {
    const LETTERS: [char; 20] =
        ['B', 'C', 'D', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Z'];
    const LENGTH: usize = 8;

    pub(crate) fn generate(rng: &dyn Rng) -> Result<Self, NoRandomness> {
        let mut code = String::with_capacity(Self::LENGTH);
        while code.len() < Self::LENGTH {
            let mut byte = [0; 1];
            rng.fill(&mut byte)?;
            // 240 is a multiple of 20: beyond it, some letters would come more often
            let [byte] = byte;
            if byte < 240
                && let Some(letter) = Self::LETTERS.get(usize::from(byte % 20))
            {
                code.push(*letter);
            }
        }
        Ok(Self(code))
    }

    /// What somebody typed: in any case, with any spaces and dashes. `None` if it can be no code.
    pub(crate) fn typed(text: &str) -> Option<Self> {
        if text.len() > 64 {
            return None;
        }
        let code: String = text
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_uppercase())
            .collect();
        let legal = code.len() == Self::LENGTH && code.chars().all(|letter| Self::LETTERS.contains(&letter));
        legal.then_some(Self(code))
    }

    /// With a dash in the middle, as people read it best.
    pub(crate) fn shown(&self) -> String {
        match self.0.split_at_checked(Self::LENGTH / 2) {
            Some((first, last)) => format!("{first}-{last}"),
            None => self.0.clone(),
        }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::SystemRng;

    #[test]
    fn what_can_be_no_code_is_none() {
        let long = "B".repeat(65);
        for text in ["", "BCDF-GHJ", "BCDF-GHJKL", "BCDF-GHJA", "BCDF-GHJ1", "BCDF-GHJО", &long] {
            assert_eq!(UserCode::typed(text), None, "{text}");
        }
    }

    #[test]
    fn codes_are_read_however_they_are_typed() {
        let code = UserCode("BCDFGHJK".to_owned());
        assert_eq!(code.shown(), "BCDF-GHJK");
        for text in ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "b-c-d-f-g-h-j-k", "BCDF\u{2013}GHJK"] {
            assert_eq!(UserCode::typed(text), Some(code.clone()), "{text}");
        }
    }

    #[test]
    fn generated_codes_differ_and_can_be_typed() {
        let codes: Vec<_> = (0..200).map(|_| UserCode::generate(&SystemRng).unwrap()).collect();
        for code in &codes {
            assert_eq!(UserCode::typed(&code.shown()).as_ref(), Some(code));
        }
        let different: std::collections::HashSet<_> = codes.iter().map(UserCode::shown).collect();
        assert_eq!(different.len(), codes.len());
    }
}
