-- how many clients registered themselves is asked at each registration, and must not take reading them all
CREATE INDEX clients_origin ON clients (origin);
