//! Numbers that every parser takes for the same.

/// The first number in `json` that a parser could change, as it is spelled; `json` is known to be JSON.
///
/// JavaScript reads every number as an IEEE 754 double, and so do many servers: what that rounds would be judged as one
/// number and acted on as another (RFC 8259 §6, RFC 7493 §2.2). Refused is an integer that 64 bits cannot hold, with a
/// sign or without, or that is no double; and any other number that has more digits than its double needs.
pub(super) fn first_that_changes(json: &str) -> Option<&str> {
    let mut rest = json;
    loop {
        let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
        let (_, from) = rest.split_at(start);
        if let Some(text) = from.strip_prefix('"') {
            rest = after_string(text)?;
            continue;
        }
        let end =
            from.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        if !survives(number) {
            return Some(number);
        }
        rest = after;
    }
}

/// What follows a string whose opening quote is gone.
fn after_string(text: &str) -> Option<&str> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    text.get(end + 1..)
}

fn survives(number: &str) -> bool {
    if !number.contains(['.', 'e', 'E']) {
        return is_exact(number);
    }
    // Up to 15 digits survive any way of reading (IEEE 754, `DBL_DIG`), where the power is not extreme.
    if number.len() <= 16 && !number.contains(['e', 'E']) {
        return true;
    }
    // No longer than the shortest spelling of the same double; where there are two of that length, either is good.
    number.parse::<f64>().is_ok_and(|double| {
        let shortest = format!("{double:e}");
        double.is_finite() && significant(number).len() <= significant(&shortest).len()
    })
}

/// Whether an integer is the same in 64 bits and as a double.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "whether anything is lost is the question"
)]
fn is_exact(integer: &str) -> bool {
    let whole = integer.parse::<i64>().map(i128::from).or_else(|_| integer.parse::<u64>().map(i128::from));
    whole.is_ok_and(|whole| (whole as f64) as i128 == whole)
}

/// The digits of a number without its sign, its power, and zeros at either end; none for zero.
fn significant(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_that_a_parser_would_round_is_found() {
        for kept in [
            "0",
            "-0",
            "0.0",
            "0e999",
            "1",
            "-1",
            "0.1",
            "1.10",
            "1e2",
            "1E+2",
            "100.5",
            "9007199254740992",
            "1e21",
            "1.7976931348623157e308",
            "5e-324",
            "123456.789e3",
            r#""1e999 \" 00.00000000000000000001""#,
            r#"{"1e999":[1,2.5]}"#,
            "9223372036854774784",
            "18446744073709549568",
        ] {
            assert_eq!(first_that_changes(kept), None, "{kept}");
        }
        for changed in [
            "9007199254740993",
            "-9007199254740993",
            "9223372036854775807",
            "18446744073709551615",
            "18446744073709551616",
            "100000000000000000000000",
            "1e999",
            "-1e999",
            "1e-400",
            "0.1000000000000000055",
            "100.00000000000000001",
            "1e99999999999999999999",
        ] {
            assert_eq!(first_that_changes(&format!("[\"x\\\\\",1,{changed},2]")), Some(changed), "{changed}");
        }
    }

    proptest! {
        #[test]
        fn every_double_survives_in_its_shortest_spelling(double in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
            let spelled = serde_json::to_string(&double).unwrap();
            prop_assert_eq!(first_that_changes(&spelled), None);
        }

        #[test]
        fn an_integer_survives_where_it_is_a_double(number in any::<i64>(), bits in 0..64_u32) {
            let number = number >> bits;
            // A double has 53 bits, wherever they are.
            let magnitude = number.unsigned_abs();
            let fits = magnitude == 0 || 64 - magnitude.leading_zeros() - magnitude.trailing_zeros() <= 53;
            prop_assert_eq!(first_that_changes(&number.to_string()).is_none(), fits);
        }
    }
}
