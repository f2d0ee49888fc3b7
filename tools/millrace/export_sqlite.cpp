// An SQLite database of a log's events.
//
// A table a type. Decimals are exact in it: `price` is two columns, `price_mantissa`, an INTEGER, and the scale as its
// schema calls it, `price_scale`: 1808.080 is 1808080 and 3. As TEXT they would compare by their letters, as REAL lose
// digits. So that nobody has to reckon, a view of the type's own name has all columns with `price` as REAL, and the
// exact table is called <type>_exact. A type without decimals is a table of its own name.
//
//   offset         INTEGER PRIMARY KEY: a search for an offset is one of the row
//   record_time    INTEGER, nanoseconds since 1970; publisher (of table `publishers`); sequence
//   uint64         no declared type, so that nothing is rounded: INTEGER, or TEXT from 2^63 upward
//   enums, texts   TEXT; enums by name, unknown ones by number
//   bool           INTEGER 0 or 1
//   JSON           TEXT
//
// A NaN is NULL, since SQLite knows none. Names that differ in case alone get a `_` behind them.
#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "schemas/json_text.hpp"
#include "tools/millrace/export_rows.hpp"

namespace millrace::cli {
namespace {

using schemas::FlatColumn;
using schemas::FlatKind;
using schemas::FlatValue;

constexpr std::uint64_t rows_a_transaction = 100'000;

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

const char* affinity_of(FlatKind kind) {
  switch (kind) {
    case FlatKind::boolean:
    case FlatKind::integer:
    case FlatKind::decimal:
      return " INTEGER";
    case FlatKind::unsigned_integer:
      return "";
    case FlatKind::real:
      return " REAL";
    default:
      return " TEXT";
  }
}

class SqliteWriter final : public RowWriter {
 public:
  explicit SqliteWriter(std::string path) : path_(std::move(path)) {}

  Status open(const std::vector<wal::PublisherEntry>& publishers) {
    sqlite3* opened = nullptr;
    const int answer = sqlite3_open_v2(path_.c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr);
    database_.reset(opened);
    if (answer != SQLITE_OK) return failed();
    // The file counts only once it is whole, so a journal would protect nothing.
    MILLRACE_TRY(
        run("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
            "CREATE TABLE publishers (id INTEGER PRIMARY KEY, name TEXT, epoch INTEGER, "
            "last_sequence INTEGER);"));
    auto insert = prepare("INSERT INTO publishers VALUES (?, ?, ?, ?)");
    if (!insert) return fail(insert.error());
    for (const wal::PublisherEntry& each : publishers) {
      sqlite3_bind_int64(insert->get(), 1, static_cast<sqlite3_int64>(each.id.value()));
      bind_text(insert->get(), 2, each.name);
      sqlite3_bind_int64(insert->get(), 3, static_cast<sqlite3_int64>(each.epoch.value()));
      sqlite3_bind_int64(insert->get(), 4, static_cast<sqlite3_int64>(each.last_sequence.value()));
      MILLRACE_TRY(step(insert->get()));
    }
    return run("BEGIN");
  }

  Status take(const Event& event, const schemas::EventType& type) override {
    if (&type != type_) MILLRACE_TRY(turn_to(type));
    sqlite3_stmt* const insert = version_->insert.get();
    sqlite3_bind_int64(insert, 1, static_cast<sqlite3_int64>(event.offset->value()));
    sqlite3_bind_int64(insert, 2, event.record_time.ns);
    sqlite3_bind_int64(insert, 3, static_cast<sqlite3_int64>(event.publisher.value()));
    sqlite3_bind_int64(insert, 4, static_cast<sqlite3_int64>(event.sequence().value()));
    std::size_t i = 0;
    version_->flat.visit(event.payload(), [&](const FlatColumn&, const FlatValue& value) {
      const Binding binding = version_->bindings[i++];
      if (value.null) return;
      bind(insert, binding.value, value);
      if (binding.scale != 0) sqlite3_bind_int(insert, binding.scale, value.scale);
    });
    MILLRACE_TRY(step(insert));
    sqlite3_clear_bindings(insert);
    if (++rows_ % rows_a_transaction == 0) return run("COMMIT; BEGIN");
    return {};
  }

  Status finish() override {
    versions_.clear();  // their statements
    for (const auto& [name, table] : tables_) MILLRACE_TRY(name_table(name, table));
    MILLRACE_TRY(run("COMMIT"));
    if (sqlite3_close(database_.get()) != SQLITE_OK) return failed();
    static_cast<void>(database_.release());
    return {};
  }

 private:
  struct Table {
    bool has_decimals = false;
    std::map<std::string, std::string> names;  // of what the columns are for, to how they are called
    std::vector<std::string> columns;          // as they are called; the places too
    std::map<std::string, std::string> shown;  // a column of the view, and what it is made of; by what they are for
    std::vector<std::string> shown_order;
  };
  struct Binding {
    int value;
    int scale;  // 0: it has none
  };
  struct Version {
    schemas::FlatType flat;
    Statement insert;
    std::vector<Binding> bindings;
  };

  static std::string exact_name(const std::string& type) { return type + "_exact"; }

  Status turn_to(const schemas::EventType& type) {
    auto known = versions_.find(&type);
    if (known == versions_.end()) {
      auto made = version_of(type);
      if (!made) return fail(made.error());
      known = versions_.emplace(&type, std::move(*made)).first;
    }
    type_ = &type;
    version_ = &known->second;
    return {};
  }

  // The statement that fills the type's table; the table is made, or given what this schema of the type adds to it.
  Result<Version> version_of(const schemas::EventType& type) {
    Version version{schemas::FlatType(type), nullptr, {}};
    const std::string name(type.name());
    const auto [place, is_new] = tables_.try_emplace(name);
    Table& table = place->second;
    if (is_new) MILLRACE_TRY(make_table(name, table, version.flat));

    std::vector<std::string> filled(table.columns.begin(), table.columns.begin() + std::ssize(place_names));
    const auto place_of = [&](const std::string& column) {
      const auto found = std::ranges::find(filled, column);
      const auto index = static_cast<int>(found - filled.begin()) + 1;
      if (found == filled.end()) filled.push_back(column);
      return index;
    };
    for (const FlatColumn& column : version.flat.columns()) {
      const bool decimal = column.kind == FlatKind::decimal;
      const std::string own = decimal ? column.name + "_mantissa" : column.name;
      const auto value = column_for(name, table, own, affinity_of(column.kind));
      if (!value) return fail(value.error());
      Binding binding{place_of(*value), 0};
      std::string shown = quoted(*value);
      if (decimal) {
        const auto scale = column_for(name, table, column.scale_name, " INTEGER");
        if (!scale) return fail(scale.error());
        binding.scale = place_of(*scale);
        table.has_decimals = true;
        shown = "CAST(" + shown + " || 'e-' || " + quoted(*scale) + " AS REAL)";
      }
      version.bindings.push_back(binding);
      if (table.shown.try_emplace(column.name, shown).second) table.shown_order.push_back(column.name);
    }
    std::string columns, marks;
    for (const std::string& each : filled) {
      columns += (columns.empty() ? "" : ", ") + quoted(each);
      marks += marks.empty() ? "?" : ", ?";
    }
    auto insert = prepare("INSERT INTO " + quoted(exact_name(name)) + " (" + columns + ") VALUES (" + marks + ")");
    if (!insert) return fail(insert.error());
    version.insert = std::move(*insert);
    return version;
  }

  Status make_table(const std::string& name, Table& table, const schemas::FlatType& flat) {
    std::vector<std::string> taken;
    for (const FlatColumn& column : flat.columns()) taken.push_back(column.name);
    std::string columns;
    for (const char* const each : place_names) {
      table.columns.push_back(place_name(each, taken));
      columns += columns.empty() ? quoted(table.columns.back()) + " INTEGER PRIMARY KEY"
                                 : ", " + quoted(table.columns.back()) + " INTEGER";
    }
    return run("CREATE TABLE " + quoted(exact_name(name)) + " (" + columns + ")");
  }

  // How the column for `what` is called; it is added if there is none yet. SQLite's names have no case.
  Result<std::string> column_for(const std::string& type, Table& table, const std::string& what, const char* affinity) {
    const auto [place, is_new] = table.names.try_emplace(what, what);
    std::string& called = place->second;
    if (!is_new) return called;
    const auto same = [&](const std::string& column) { return sqlite3_stricmp(column.c_str(), called.c_str()) == 0; };
    while (std::ranges::any_of(table.columns, same)) called += '_';
    MILLRACE_TRY(run("ALTER TABLE " + quoted(exact_name(type)) + " ADD COLUMN " + quoted(called) + affinity));
    table.columns.push_back(called);
    return called;
  }

  // The type's own name goes to the view, if it takes one to show its decimals.
  Status name_table(const std::string& name, const Table& table) {
    if (!table.has_decimals) {
      return run("ALTER TABLE " + quoted(exact_name(name)) + " RENAME TO " + quoted(name));
    }
    std::string select;
    std::vector<std::string> called(table.columns.begin(), table.columns.begin() + std::ssize(place_names));
    for (const std::string& each : called) select += (select.empty() ? "" : ", ") + quoted(each);
    for (const std::string& column : table.shown_order) {
      std::string own = column;
      const auto same = [&](const std::string& other) { return sqlite3_stricmp(other.c_str(), own.c_str()) == 0; };
      while (std::ranges::any_of(called, same)) own += '_';
      select += ", " + table.shown.at(column) + " AS " + quoted(own);
      called.push_back(own);
    }
    return run("CREATE VIEW " + quoted(name) + " AS SELECT " + select + " FROM " + quoted(exact_name(name)));
  }

  static void bind(sqlite3_stmt* insert, int place, const FlatValue& value) {
    switch (value.kind) {
      case FlatKind::boolean:
      case FlatKind::integer:
      case FlatKind::decimal:
        sqlite3_bind_int64(insert, place, value.integer);
        break;
      case FlatKind::unsigned_integer:
        if (value.integer >= 0) {
          sqlite3_bind_int64(insert, place, value.integer);
        } else {
          bind_copy(insert, place, std::to_string(static_cast<std::uint64_t>(value.integer)));
        }
        break;
      case FlatKind::real:
        sqlite3_bind_double(insert, place, value.real);
        break;
      case FlatKind::enumeration:
        if (value.text.empty()) {
          sqlite3_bind_int64(insert, place, value.integer);
        } else {
          bind_text(insert, place, value.text);
        }
        break;
      case FlatKind::text:
        bind_text(insert, place, value.text);
        break;
      case FlatKind::json:
        bind_copy(insert, place, value.text);
        break;
    }
  }

  // It stays where it is until the row is made. What is no UTF-8 is put right, as in JSON.
  static void bind_text(sqlite3_stmt* insert, int place, std::string_view text) {
    if (std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
      sqlite3_bind_text(insert, place, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
      return;
    }
    std::string right;
    schemas::append_utf8(text, right);
    bind_copy(insert, place, right);
  }
  static void bind_copy(sqlite3_stmt* insert, int place, std::string_view text) {
    sqlite3_bind_text(insert, place, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  }

  Status run(const std::string& statements) {
    if (sqlite3_exec(database_.get(), statements.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return failed();
    return {};
  }
  Result<Statement> prepare(const std::string& statement) {
    sqlite3_stmt* made = nullptr;
    if (sqlite3_prepare_v2(database_.get(), statement.c_str(), -1, &made, nullptr) != SQLITE_OK) return failed();
    return Statement(made);
  }
  Status step(sqlite3_stmt* insert) {
    if (sqlite3_step(insert) != SQLITE_DONE) return failed();
    sqlite3_reset(insert);
    return {};
  }
  [[nodiscard]] tl::unexpected<Error> failed() const {
    if (sqlite3_errcode(database_.get()) == SQLITE_FULL) return cannot_write(path_, ENOSPC);
    return fail(ErrorCode::io_failed, "cannot write " + path_ + ": " + sqlite3_errmsg(database_.get()));
  }

  std::string path_;
  Database database_;
  std::map<std::string, Table> tables_;  // by type
  std::map<const schemas::EventType*, Version> versions_;
  const schemas::EventType* type_ = nullptr;  // of the last event
  Version* version_ = nullptr;                // its
  std::uint64_t rows_ = 0;
};

}  // namespace

Result<std::unique_ptr<RowWriter>> make_sqlite_writer(PartialFile& file,
                                                      const std::vector<wal::PublisherEntry>& publishers) {
  auto writer = std::make_unique<SqliteWriter>(file.partial_path());
  MILLRACE_TRY(writer->open(publishers));
  return std::unique_ptr<RowWriter>(std::move(writer));
}

}  // namespace millrace::cli
