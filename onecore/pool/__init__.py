"""The SQL pool: records, transactions, group commit, change log, search, migrations.  The only home of sqlalchemy."""
