-- hide: \b\d+ (bytes|kB|MB)\b
-- What \d and its relatives say of every kind of object.
CREATE SCHEMA shop;
CREATE TYPE shop.colour AS ENUM ('red', 'green');
CREATE DOMAIN shop.positive AS int CHECK (VALUE > 0);
CREATE SEQUENCE shop.numbers START 7;
CREATE TABLE shop.customer (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x', favourite shop.colour);
CREATE TABLE shop.purchase (
    id bigint GENERATED ALWAYS AS IDENTITY, customer int REFERENCES shop.customer ON DELETE CASCADE,
    amount shop.positive, twice int GENERATED ALWAYS AS (amount * 2) STORED, EXCLUDE USING btree (id WITH =)
);
CREATE INDEX purchase_amount ON shop.purchase (amount) WHERE amount > 5;
CREATE VIEW shop.spent AS SELECT customer, sum(amount) FROM shop.purchase GROUP BY customer;
CREATE MATERIALIZED VIEW shop.summary AS SELECT count(*) FROM shop.purchase;
CREATE TABLE shop.parts (n int) PARTITION BY RANGE (n);
CREATE TABLE shop.parts_low PARTITION OF shop.parts FOR VALUES FROM (0) TO (10);
CREATE FUNCTION shop.double(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE PROCEDURE shop.nothing() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE shop.total (int) (SFUNC = int4pl, STYPE = int);
CREATE TRIGGER touched BEFORE UPDATE ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE RULE quiet AS ON DELETE TO shop.customer DO INSTEAD NOTHING;
ALTER TABLE shop.purchase ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.purchase USING (customer > 0);
COMMENT ON TABLE shop.customer IS 'who buys';
CREATE PUBLICATION everything FOR TABLE shop.customer;
CREATE STATISTICS shop.related ON customer, amount FROM shop.purchase;
CREATE OPERATOR shop.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
SET search_path = shop, public;
\d
\d+
\d customer
\d+ purchase
\d parts
\d+ spent
\d summary
\d numbers
\d purchase_amount
\dt
\dt+ c*
\dtvmsE shop.*
\di
\dv
\dm
\ds
\dE
\dn
\dn+ shop
\df
\df+ double
\dfp
\dft
\da shop.*
\do shop.*
\dT
\dT+ colour
\dD
\dd
\ddp
\dp
\dp purchase
\z customer
\dP
\dX
\dRp
\dRp+
\dRs
\dF
\dFd
\dFp
\dFt
\dy
\dc utf8_to_iso_8859_1
\dC integer
\dO "C"
\dL
\dx
\des
\det
\dew
\deu
\drds
\dconfig search_path
\dA btree
\dAc btree int4
\dAf btree int4
\dAo btree int4_ops
\dAp btree integer_ops
\db
\dl
\sf shop.double
\sv shop.spent
\d "no such"
\dt no.such.name.at.all
DROP PUBLICATION everything;
DROP SCHEMA shop CASCADE;
