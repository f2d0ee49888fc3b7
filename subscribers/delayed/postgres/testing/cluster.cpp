#include "subscribers/delayed/postgres/testing/cluster.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "bus/base/assert.hpp"

namespace millrace::delayed::postgres::testing {
namespace {

namespace fs = std::filesystem;
using millrace::testing::eventually;
using millrace::testing::Process;

// PostgreSQL does not run as root: then as the user that its package made. It dies with the thread that started it.
std::vector<std::string> as_server_user(std::vector<std::string> command) {
  std::vector<std::string> words{"/usr/bin/setpriv", "--pdeathsig", "KILL"};
  if (::geteuid() == 0) {
    for (const char* word : {"--reuid=postgres", "--regid=postgres", "--clear-groups"}) words.emplace_back(word);
  }
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

}  // namespace

std::string server_programs() {
  std::vector<fs::path> folders;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", none)) folders.push_back(entry.path() / "bin");
  std::sort(folders.rbegin(), folders.rend());
  folders.emplace_back("/usr/local/pgsql/bin");
  for (const auto& folder : folders) {
    if (fs::exists(folder / "initdb", none) && fs::exists(folder / "postgres", none)) return folder;
  }
  return {};
}

Cluster::Cluster(bool durable) : durable_(durable) {
  if (::geteuid() == 0) {
    Process give({"/bin/chown", "postgres:", folder()});
    MILLRACE_ASSERT(give.wait() == 0, "the server's user has the folder");
  }
  ::chmod(folder().c_str(), 0755);
  Process initdb(as_server_user({server_programs() + "/initdb", "-D", folder_.at("data"), "-U", "millrace", "-A",
                                 "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"}));
  const auto status = initdb.wait();
  if (status != 0) std::fprintf(stderr, "initdb: %s\n", initdb.errors().c_str());
  MILLRACE_ASSERT(status == 0, "a cluster is made");
  start();
}

Cluster::~Cluster() {
  kill();
}

void Cluster::start() {
  const bool ready = eventually([this] {
    // After a kill -9 the memory of the dead is given back a little later than its first process.
    if (!server_ || server_->wait(std::chrono::seconds(0))) {
      server_.reset();
      std::vector<std::string> command{server_programs() + "/postgres", "-D", folder_.at("data"), "-k", folder()};
      for (const char* setting :
           {"listen_addresses=", "shared_buffers=64MB", "max_connections=30", "max_wal_size=512MB"}) {
        command.insert(command.end(), {"-c", setting});
      }
      if (!durable_) command.insert(command.end(), {"-c", "fsync=off", "-c", "full_page_writes=off"});
      server_.emplace(as_server_user(std::move(command)));
    }
    return PQping(uri().c_str()) == PQPING_OK;
  });
  if (!ready) std::fprintf(stderr, "postgres: %s\n", server_->errors().c_str());
  MILLRACE_ASSERT(ready, "the server answers");
}

void Cluster::kill() {
  if (!server_) return;
  server_->signal(SIGKILL);
  (void)server_->wait();
  server_.reset();
}

std::string Cluster::uri(const std::string& database, const std::string& user) const {
  return "postgresql://" + user + "@/" + database + "?host=" + folder();
}

std::string Cluster::database(const std::string& name) {
  Connection admin = connect(uri());
  query(admin, "CREATE DATABASE " + name);
  return uri(name);
}

Connection connect(const std::string& uri) {
  auto connection = Connection::open({.database = uri});
  if (!connection) std::fprintf(stderr, "%s\n", connection.error().message.c_str());
  MILLRACE_ASSERT(connection, "a connection to the test's server");
  return std::move(*connection);
}

Rows query(Connection& connection, const std::string& sql) {
  auto rows = connection.run(sql);
  if (!rows) std::fprintf(stderr, "%s: %s\n", sql.c_str(), rows.error().message.c_str());
  MILLRACE_ASSERT(rows, "a statement of the test");
  return std::move(*rows);
}

std::string text_of(Connection& connection, const std::string& sql) {
  const Rows rows = query(connection, sql);
  std::string text;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (row > 0) text += '\n';
    for (int column = 0; column < rows.columns(); ++column) {
      if (column > 0) text += '|';
      text += rows.text(row, column);
    }
  }
  return text;
}

}  // namespace millrace::delayed::postgres::testing
