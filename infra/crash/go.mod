module github.com/erpconnector/erpconnector/infra/crash

go 1.26.8
