-- The first todos of globex: bob's.
INSERT INTO todos (tenant, owner, title, done, public) VALUES
    ('globex', 'bob', 'Water the hammocks', false, false),
    ('globex', 'bob', 'Return the borrowed satellite', false, false),
    ('globex', 'bob', 'Welcome the new neighbours', true, true);
