module github.com/erpconnector/erpconnector/migrations

go 1.26.0
