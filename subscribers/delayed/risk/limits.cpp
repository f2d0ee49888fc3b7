#include "subscribers/delayed/risk/limits.hpp"

#include <functional>
#include <sstream>
#include <utility>

#include "bus/base/toml.hpp"
#include "schemas/decimal.hpp"

namespace millrace::delayed::risk {
namespace {

constexpr unsigned kMarginDigits = 6;

class Reader {
 public:
  // Takes a node, returns what is wrong with it, empty if nothing.
  using Take = std::function<std::string(const toml::node&, const std::string& where)>;
  using Keys = std::map<std::string, Take, std::less<>>;

  explicit Reader(const std::string& origin) : origin_(origin) {}

  void read(const toml::table& table, const std::string& where, const Keys& keys) {
    std::string known;
    for (const auto& [name, take] : keys) known += (known.empty() ? "" : ", ") + name;
    for (const auto& [key, node] : table) {
      const auto found = keys.find(key.str());
      const std::string name = join(where, key.str());
      if (found == keys.end()) {
        complain(key.source(), name, "unknown key; there are: " + known);
      } else if (const auto wrong = found->second(node, name); !wrong.empty()) {
        complain(node.source(), name, wrong);
      }
    }
  }
  // A table whose keys are names of the user's.
  void read_names(const toml::table& table, const std::string& where,
                  const std::function<std::string(const std::string&, const toml::node&, const std::string&)>& take) {
    for (const auto& [key, node] : table) {
      const std::string name = join(where, key.str());
      if (key.str().empty() || key.str().size() > 16) {
        complain(key.source(), name, "a name has 1 to 16 bytes");
      } else if (const auto wrong = take(std::string(key.str()), node, name); !wrong.empty()) {
        complain(node.source(), name, wrong);
      }
    }
  }
  [[nodiscard]] const std::string& errors() const { return errors_; }

 private:
  static std::string join(const std::string& where, std::string_view key) {
    return where.empty() ? std::string(key) : where + "." + std::string(key);
  }
  void complain(const toml::source_region& at, const std::string& key, const std::string& what) {
    std::ostringstream line;
    line << (errors_.empty() ? "" : "\n") << origin_ << ":" << at.begin.line << ":" << at.begin.column << ": " << key
         << ": " << what;
    errors_ += line.str();
  }

  const std::string& origin_;
  std::string errors_;
};

std::string take_amount(const toml::node& node, unsigned digits_max, Amount& into) {
  const std::string wanted =
      "wants a number that is not below zero: whole, or a decimal in quotes such as \"1000.50\", with at most " +
      std::to_string(digits_max) + " digits after the point";
  std::optional<schemas::Decimal> value;
  if (const auto text = node.value_exact<std::string>()) value = schemas::parse_decimal(*text);
  if (const auto whole = node.value_exact<std::int64_t>()) value = schemas::Decimal{*whole, 0};
  if (!value || value->mantissa < 0 || value->scale > digits_max) return wanted;
  into = {value->mantissa, value->scale};
  return "";
}

Reader::Take amount(std::optional<Amount>& into, unsigned digits_max = kScaleMax) {
  return [&into, digits_max](const toml::node& node, const std::string&) {
    return take_amount(node, digits_max, into.emplace());
  };
}

template <class Number>
Reader::Take number(Number& into, std::int64_t min, std::int64_t max) {
  return [&into, min, max](const toml::node& node, const std::string&) -> std::string {
    const auto value = node.value_exact<std::int64_t>();
    if (!value || *value < min || *value > max) {
      return "wants a whole number from " + std::to_string(min) + " to " + std::to_string(max);
    }
    into = static_cast<Number>(*value);
    return "";
  };
}

Reader::Take table(std::function<void(const toml::table&, const std::string&)> read) {
  return [read = std::move(read)](const toml::node& node, const std::string& where) -> std::string {
    if (!node.is_table()) return "wants a table";
    return read(*node.as_table(), where), "";
  };
}

void read_account(Reader& reader, const toml::table& from, const std::string& where, AccountLimits& into) {
  const auto positions = [&](const toml::table& named, const std::string& at) {
    reader.read_names(named, at, [&](const std::string& instrument, const toml::node& node, const std::string&) {
      return take_amount(node, kScaleMax, into.positions[instrument]);
    });
  };
  reader.read(from, where,
              {{"position", amount(into.position)},
               {"positions", table(positions)},
               {"gross_exposure", amount(into.gross_exposure)},
               {"net_exposure", amount(into.net_exposure)},
               {"loss", amount(into.loss)},
               {"margin_use", amount(into.margin_use, kMarginDigits)}});
}

}  // namespace

const Amount* AccountLimits::position_of(std::string_view instrument) const {
  if (const auto found = positions.find(instrument); found != positions.end()) return &found->second;
  return position ? &*position : nullptr;
}

const AccountLimits& Limits::of(std::string_view account) const {
  const auto found = accounts.find(account);
  return found != accounts.end() ? found->second : defaults;
}

Result<Limits> parse_limits(std::string_view text, const std::string& origin) {
  const toml::parse_result parsed = toml::parse(text, origin);
  if (!parsed) {
    std::ostringstream message;
    message << origin << ":" << parsed.error().source().begin.line << ":" << parsed.error().source().begin.column
            << ": " << parsed.error().description();
    return fail(ErrorCode::invalid_argument, message.str());
  }
  Reader reader(origin);
  Limits limits;
  const toml::table* accounts = nullptr;
  reader.read(parsed.table(), "",
              {{"clear_percent", number(limits.clear_percent, 0, 100)},
               {"max_lag", number(limits.max_lag, 1, INT64_MAX)},
               {"defaults", table([&](const toml::table& from, const std::string& where) {
                  read_account(reader, from, where, limits.defaults);
                })},
               {"accounts", table([&](const toml::table& from, const std::string&) { accounts = &from; })}});
  // Only now, for they begin with the defaults, wherever those stand.
  if (accounts != nullptr) {
    reader.read_names(*accounts, "accounts",
                      [&](const std::string& account, const toml::node& node, const std::string& where) -> std::string {
                        if (!node.is_table()) return "wants a table";
                        AccountLimits& own = limits.accounts[account] = limits.defaults;
                        return read_account(reader, *node.as_table(), where, own), "";
                      });
  }
  if (!reader.errors().empty()) return fail(ErrorCode::invalid_argument, reader.errors());
  return limits;
}

Result<Limits> load_limits(const std::string& path) {
  const auto text = read_text(path, "the limits");
  if (!text) return fail(text.error());
  return parse_limits(*text, path);
}

}  // namespace millrace::delayed::risk
