//! What a request is held against, in a process that does nothing else: a signature, the rows that a refresh writes, and
//! the query of an introspection, with the server's own driver, statements and durability.

use std::{hint::black_box, path::Path};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use rustix::time::{ClockId, clock_gettime};
use sqlx::{Connection as _, SqliteConnection};

use crate::{RESOURCE, database, tokens};

/// The processor time of this process, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "a figure to be printed")]
fn spent() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Microseconds of processor time for each of `count` times.
#[expect(clippy::cast_precision_loss, reason = "a figure to be printed")]
async fn each(count: u64, mut once: impl AsyncFnMut(u64)) -> f64 {
    // what is built once
    once(0).await;
    let before = spent();
    for time in 1..=count {
        once(time).await;
    }
    (spent() - before) / count as f64
}

/// Measures what `what` names, and prints the figure.
#[expect(clippy::print_stdout, reason = "it is read by the bench that started this process")]
pub(crate) async fn run(what: &str, file: &Path, grants: u64, count: u64, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut connection = database::open(file).await;
    let figure = match what {
        "signature" => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let message = [b'x'; 600];
            let source = SystemRandom::new();
            each(count, async |_| {
                black_box(key.sign(&source, black_box(&message)).unwrap());
            })
            .await
        }
        "rotation" => {
            // the half of the grants that the server's clients do not take, from somewhere on
            let (half, offset) = (grants / 2, random.u64(..grants / 2));
            each(count, async |time| {
                rotate(&mut connection, half + (offset + time) % half, random.u64(..)).await;
            })
            .await
        }
        "query" => each(count, async |_| query(&mut connection, random.u64(..grants)).await).await,
        other => panic!("no such measurement: {other}"),
    };
    println!("{figure}");
}

/// The statements of a refresh, in a transaction of its own.
async fn rotate(connection: &mut SqliteConnection, number: u64, new: u64) {
    let now = crate::now();
    let grant = tokens::grant(number);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query(
        "UPDATE grants SET last_used_at = $2, last_address = $3, \
         key_thumbprint = COALESCE(key_thumbprint, $4) WHERE id = $1 AND revoked_at IS NULL",
    )
    .bind(&grant)
    .bind(now)
    .bind("127.0.0.1")
    .bind(None::<String>)
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query(
        "UPDATE refresh_tokens SET rotated_at = $3, successor_salt = $4 \
         WHERE digest = $1 AND grant_id = $2 AND rotated_at IS NULL",
    )
    .bind(tokens::refresh_digest(number))
    .bind(&grant)
    .bind(now)
    .bind("a-salt-of-22-characters")
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO refresh_tokens (digest, grant_id, names_grant, expires_at) VALUES ($1, $2, 1, $3)",
    )
    .bind(tokens::digest_of(&format!("bare refresh {new}")))
    .bind(&grant)
    .bind(now + 2_592_000)
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO access_tokens \
         (digest, jti, grant_id, audience, scopes, issued_at, expires_at, status_index, key_thumbprint) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(tokens::digest_of(&format!("bare access {new}")))
    .bind(&grant)
    .bind(&grant)
    .bind(RESOURCE)
    .bind("mcp:read")
    .bind(now)
    .bind(now + 900)
    .bind(i64::try_from(new >> 1).unwrap())
    .bind(None::<String>)
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction.commit().await.unwrap();
}

/// The statement of an introspection.
async fn query(connection: &mut SqliteConnection, number: u64) {
    let row = sqlx::query(
        "SELECT a.digest, a.jti, a.audience, a.scopes, a.issued_at, a.expires_at, a.status_index, a.revoked_at, \
         a.key_thumbprint AS token_key_thumbprint, \
         g.id AS grant_id, g.kind, g.parent_id, g.user_id, g.client_id, g.resources, g.scopes AS grant_scopes, g.refresh, \
         g.key_thumbprint, g.actor, g.authenticated_at, g.created_at AS grant_created_at, \
         g.expires_at AS grant_expires_at, g.revoked_at AS grant_revoked_at \
         FROM access_tokens a JOIN grants g ON g.id = a.grant_id WHERE a.issued_at = $1 AND a.digest = $2",
    )
    .bind(tokens::issued_at(number))
    .bind(tokens::digest_of(&tokens::access(number)))
    .fetch_one(connection)
    .await
    .unwrap();
    black_box(row);
}
