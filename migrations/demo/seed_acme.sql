-- The first todos of acme: alice's, and carol's, which alice must not see.
INSERT INTO todos (tenant, owner, title, done, public) VALUES
    ('acme', 'alice', 'Order anvils', false, false),
    ('acme', 'alice', 'Paint a tunnel on the rock', true, false),
    ('acme', 'alice', 'Publish the spring catalog', false, true),
    ('acme', 'carol', 'Review the insurance claims', false, false),
    ('acme', 'carol', 'Open day on Saturday', false, true);
