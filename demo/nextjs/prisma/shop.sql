-- The tables of schema.prisma, with something in them. Products have the number that their name says, and so on.
CREATE TABLE brand (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE category (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE product (
    id serial PRIMARY KEY, name text NOT NULL, price integer NOT NULL, discount integer NOT NULL DEFAULT 0,
    stock integer NOT NULL, views integer NOT NULL DEFAULT 0,
    brand_id integer NOT NULL REFERENCES brand, category_id integer NOT NULL REFERENCES category
);
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL, city text NOT NULL);
CREATE TABLE review (
    id serial PRIMARY KEY, product_id integer NOT NULL REFERENCES product,
    customer_id integer NOT NULL REFERENCES customer, stars integer NOT NULL, text text NOT NULL
);
CREATE TABLE purchase (
    id serial PRIMARY KEY, product_id integer NOT NULL REFERENCES product,
    customer_id integer NOT NULL REFERENCES customer, amount integer NOT NULL, paid boolean NOT NULL
);
INSERT INTO brand (name) SELECT 'brand ' || i FROM generate_series(1, 20) i;
INSERT INTO category (name) SELECT 'category ' || i FROM generate_series(1, 10) i;
INSERT INTO product (name, price, discount, stock, brand_id, category_id)
    SELECT 'product ' || i, i * 7919 % 1000, i % 4 * 5, i * 31 % 50, 1 + i % 20, 1 + i % 10 FROM generate_series(1, 500) i;
INSERT INTO customer (name, city)
    SELECT 'customer ' || i, (ARRAY['Berlin', 'Wien', 'Graz', 'Bern'])[1 + i % 4] FROM generate_series(1, 200) i;
INSERT INTO review (product_id, customer_id, stars, text)
    SELECT 1 + i * 37 % 500, 1 + i * 17 % 200, 1 + i * 13 % 5, 'review ' || i FROM generate_series(1, 2000) i;
INSERT INTO purchase (product_id, customer_id, amount, paid)
    SELECT 1 + i * 41 % 500, 1 + i * 19 % 200, 1 + i % 3, i % 7 > 0 FROM generate_series(1, 3000) i;
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
ANALYZE;
