//! The same tests on PostgreSQL: with `AUTH_SERVER_TEST_DATABASE=postgres`, on the server that `TEST_POSTGRES_URL` names.

#![expect(clippy::disallowed_methods, reason = "which server there is for tests is a matter of the machine")]

use sqlx::{Connection as _, Executor as _, Row as _};

/// The URL of a schema of its own, if these tests run on PostgreSQL.
pub(crate) async fn database_of_its_own() -> Option<String> {
    match std::env::var("AUTH_SERVER_TEST_DATABASE").as_deref() {
        Err(_) | Ok("sqlite") => return None,
        Ok("postgres") => {}
        Ok(other) => {
            panic!("AUTH_SERVER_TEST_DATABASE: expected `sqlite` or `postgres`, but found `{other}`")
        }
    }
    Some(new_database().await)
}

/// The URL of a new schema on the server that the tests were given.
pub(crate) async fn new_database() -> String {
    let server = std::env::var("TEST_POSTGRES_URL").unwrap_or_else(|_| {
        panic!(
            "TEST_POSTGRES_URL names no PostgreSQL server: run ./test, or \
         `export TEST_POSTGRES_URL=$(auth-server/tests/postgres start)`",
        )
    });
    let mut bytes = [0; 8];
    mcp_auth_server::outside::Rng::fill(&mcp_auth_server::outside::SystemRng, &mut bytes).unwrap();
    let name = format!("it_{}", u64::from_be_bytes(bytes));
    let mut connection = sqlx::PgConnection::connect(&server).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    // a schema takes a tenth of the room of a database
    url.query_pairs_mut().append_pair("options[search_path]", &name);
    url.into()
}

/// Every row of every table, as text.
pub(crate) async fn everything(url: &str) -> Vec<u8> {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let tables = sqlx::query("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut text = String::new();
    for table in tables {
        let name: String = table.get("tablename");
        let rows = sqlx::AssertSqlSafe(format!("SELECT t::text AS row FROM {name} t"));
        for row in sqlx::query(rows).fetch_all(&mut connection).await.unwrap() {
            text.push_str(&row.get::<String, _>("row"));
            text.push('\n');
        }
    }
    text.into_bytes()
}
