-- for what is removed with a client
CREATE INDEX consents_client ON consents (client_id);
