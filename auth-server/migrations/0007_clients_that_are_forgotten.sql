-- what is removed with a client
CREATE INDEX consents_client ON consents (client_id);
-- which clients nobody used for long, among those of their origin; what counts an origin finds it here as well
CREATE INDEX clients_used ON clients (origin, last_used_at);
DROP INDEX clients_origin;
