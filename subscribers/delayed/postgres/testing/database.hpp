// A test with a database of its own, on a server that all tests of the program share.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "subscribers/delayed/postgres/migrations.hpp"
#include "subscribers/delayed/postgres/testing/cluster.hpp"

namespace millrace::delayed::postgres::testing {

class WithDatabase : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!server_programs().empty() && cluster_ == nullptr) cluster_ = std::make_unique<Cluster>();
  }
  void SetUp() override {
    if (cluster_ == nullptr) GTEST_SKIP() << "PostgreSQL's server is not installed: run tools/setup";
    static int number = 0;
    name_ = "test_" + std::to_string(++number);
    uri_ = cluster_->database(name_);
  }
  // The program may end by exit(), whose destructors come too late for what the cluster uses.
  static void TearDownTestSuite() { cluster_.reset(); }

  // Migrated.
  [[nodiscard]] Connection tables() {
    Connection connection = connect(uri_);
    const auto done = migrate(connection, embedded_migrations());
    EXPECT_TRUE(done) << done.error().message;
    return connection;
  }
  static Cluster& cluster() { return *cluster_; }
  [[nodiscard]] const std::string& uri() const { return uri_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  static inline std::unique_ptr<Cluster> cluster_;
  std::string name_;
  std::string uri_;
};

}  // namespace millrace::delayed::postgres::testing
