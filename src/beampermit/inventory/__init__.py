"""All models of a laboratory: what ledgers, registry, services, alarm tree, archiver and people say of each."""
