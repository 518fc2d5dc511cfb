//! The syntax tree.
//!
//! Nodes live in one vector and name each other by index; children come before their parents. So
//! dropping a tree of any depth is a loop, and a pass that needs only the children's results (the
//! type checker) is a loop over the vector. A chain such as `a+a+...` may be 100 000 nodes deep:
//! code that walks down must do so with a stack of its own along the left side of a binary
//! operator; only parentheses, unary operators, calls and right operands nest, and the parser
//! limits those (limit L16).

mod text;

use std::fmt;

use model::Matcher;

pub use text::Text;

/// Index of a node in its [`Ast`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Byte range `[start, end)` of a node in the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Pos {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A parsed query.
#[derive(Debug, Clone, Default)]
pub struct Ast {
    nodes: Vec<Node>,
}

/// An expression and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub expr: Expr,
    /// Where it stands in the text.
    pub pos: Pos,
    /// The type of its value.
    pub value_type: ValueType,
}

impl Ast {
    /// A tree without nodes; the last node pushed is the root.
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Adds a node whose children are already in the tree.
    pub fn push(&mut self, expr: Expr, pos: Pos) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("the parser limits the nodes"));
        let value_type = self.type_of(&expr);
        self.nodes.push(Node { expr, pos, value_type });
        id
    }

    /// The type of an expression whose children are in the tree.
    fn type_of(&self, expr: &Expr) -> ValueType {
        match expr {
            Expr::Number { .. } => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix { .. } | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Call { function, .. } => function.returns,
            Expr::Unary { expr, .. } | Expr::Paren(expr) => self.value_type(*expr),
            Expr::Binary(binary) => {
                match (self.value_type(binary.lhs), self.value_type(binary.rhs)) {
                    (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                    _ => ValueType::Vector,
                }
            }
        }
    }

    /// The type of the value of node `id`.
    pub fn value_type(&self, id: NodeId) -> ValueType {
        self.node(id).value_type
    }

    /// The whole expression. Panics on an empty tree, which the parser never returns.
    pub fn root(&self) -> NodeId {
        NodeId(u32::try_from(self.nodes.len() - 1).expect("the parser limits the nodes"))
    }

    /// The node `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The expression of node `id`.
    pub fn expr(&self, id: NodeId) -> &Expr {
        &self.node(id).expr
    }

    /// Where node `id` stands.
    pub fn pos(&self, id: NodeId) -> Pos {
        self.node(id).pos
    }

    /// The node `id`, to change it in place.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// All nodes, children before parents.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(i, n)| (NodeId(u32::try_from(i).expect("the parser limits the nodes")), n))
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the tree has no node yet.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One float per step.
    Scalar,
    /// A string literal.
    String,
    /// At most one sample per series and step.
    Vector,
    /// Samples of a range per series and step.
    Matrix,
}

impl ValueType {
    /// The word in error messages: `instant vector`.
    pub const fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }

    /// The word in JSON: `vector`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An expression.
#[derive(Debug, Clone)]
pub enum Expr {
    /// A number; `duration` when it was written as one (`1h30m`), which it then prints as.
    Number {
        /// The value; seconds for a duration.
        value: f64,
        /// Whether it was written as a duration.
        duration: bool,
    },
    /// A string literal, unquoted.
    String(Text),
    /// `name{...}`, with its offset and `@`.
    Vector(Box<VectorSelector>),
    /// `selector[range]`; the selector is a [`Expr::Vector`] and holds offset and `@`.
    Matrix {
        /// The vector selector.
        selector: NodeId,
        /// The range.
        range: DurationSpec,
    },
    /// `expr[range:step]`.
    Subquery(Box<Subquery>),
    /// A function call.
    Call {
        /// The function.
        function: &'static crate::functions::Function,
        /// The arguments as written.
        args: Vec<NodeId>,
    },
    /// An aggregation.
    Aggregate(Box<Aggregate>),
    /// A binary operation.
    Binary(Box<Binary>),
    /// `+expr` or `-expr`.
    Unary {
        /// Whether the sign is a minus.
        negative: bool,
        /// The operand.
        expr: NodeId,
    },
    /// `(expr)`.
    Paren(NodeId),
}

impl Expr {
    /// The nodes directly below, in the order of the text but for an aggregation's parameter,
    /// which comes last.
    pub fn children(&self) -> Vec<NodeId> {
        match self {
            Self::Number { .. } | Self::String(_) | Self::Vector(_) => Vec::new(),
            Self::Matrix { selector: inner, .. }
            | Self::Unary { expr: inner, .. }
            | Self::Paren(inner) => vec![*inner],
            Self::Subquery(subquery) => vec![subquery.expr],
            Self::Call { args, .. } => args.clone(),
            Self::Aggregate(a) => std::iter::once(a.expr).chain(a.param).collect(),
            Self::Binary(b) => vec![b.lhs, b.rhs],
        }
    }
}

/// `name{matchers} anchored @ t offset d`.
#[derive(Debug, Clone, Default)]
pub struct VectorSelector {
    /// The metric name as written before the braces; it is among the matchers too. A quoted name
    /// inside the braces is a matcher like any other.
    pub name: Option<String>,
    /// All matchers, that of the name included, in the order of the text with the name's last, as
    /// Prometheus keeps them.
    pub matchers: Vec<Matcher>,
    /// `offset`, zero when absent.
    pub offset: DurationSpec,
    /// `@`.
    pub at: Option<At>,
    /// `anchored`.
    pub anchored: bool,
    /// `smoothed`.
    pub smoothed: bool,
}

/// `expr[range:step] @ t offset d`.
#[derive(Debug, Clone)]
pub struct Subquery {
    /// The inner expression.
    pub expr: NodeId,
    /// The range.
    pub range: DurationSpec,
    /// The resolution; `None` stands for the default.
    pub step: Option<DurationSpec>,
    /// `offset`, zero when absent.
    pub offset: DurationSpec,
    /// `@`.
    pub at: Option<At>,
}

/// The time of an `@` modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Time(i64),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// A duration: known while parsing, or an expression to evaluate when start, end and step are
/// known.
#[derive(Debug, Clone)]
pub enum DurationSpec {
    /// Milliseconds; negative only in an offset.
    Ms(i64),
    /// To be evaluated.
    Expr(Box<DurationExpr>),
}

impl Default for DurationSpec {
    fn default() -> Self {
        Self::Ms(0)
    }
}

/// A duration expression.
#[derive(Debug, Clone)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationExprKind,
    /// Where it stands.
    pub pos: Pos,
}

/// The operators of duration expressions. Depth is limited like that of expressions.
#[derive(Debug, Clone)]
pub enum DurationExprKind {
    /// Seconds; `duration` when it was written as one.
    Number {
        /// The value in seconds.
        value: f64,
        /// Whether it was written as a duration.
        duration: bool,
    },
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// A sign.
    Unary {
        /// Whether the sign is a minus.
        negative: bool,
        /// The operand.
        expr: Box<DurationExpr>,
    },
    /// `+ - * / % ^`, `min_of`, `max_of`.
    Binary {
        /// The operator.
        op: DurationOp,
        /// Left operand.
        lhs: Box<DurationExpr>,
        /// Right operand.
        rhs: Box<DurationExpr>,
    },
    /// `(expr)`
    Paren(Box<DurationExpr>),
}

/// A binary operator of duration expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of`
    MinOf,
    /// `max_of`
    MaxOf,
}

/// `op by (grouping) (param, expr)`.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: NodeId,
    /// The parameter of `topk` and its like.
    pub param: Option<NodeId>,
    /// The grouping labels in the order of the text.
    pub grouping: Vec<String>,
    /// Whether the grouping is `without`.
    pub without: bool,
}

/// An aggregation operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All operators, in the order of the contract.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::CountValues,
        Self::Quantile,
        Self::Limitk,
        Self::LimitRatio,
    ];

    /// The keyword.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// The type of the parameter, where the operator has one.
    pub const fn param(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            Self::CountValues => Some(ValueType::String),
            _ => None,
        }
    }

    /// Whether `promql-experimental-functions` must be on.
    pub const fn experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }

    /// Whether the result's series are series of the input, labels and all, instead of groups.
    pub const fn keeps_series(self) -> bool {
        matches!(self, Self::Topk | Self::Bottomk | Self::Limitk | Self::LimitRatio)
    }
}

/// `lhs op bool on (...) group_left (...) fill (...) rhs`.
#[derive(Debug, Clone)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: NodeId,
    /// Right operand.
    pub rhs: NodeId,
    /// `bool`.
    pub return_bool: bool,
    /// How series are matched; the default matching where the text has none.
    pub matching: VectorMatching,
}

/// How the series of two vectors find each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VectorMatching {
    /// One-to-one by default.
    pub card: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether `labels` is `on`.
    pub on: bool,
    /// The labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// Value for a missing left side.
    pub fill_left: Option<f64>,
    /// Value for a missing right side.
    pub fill_right: Option<f64>,
}

/// Which side of a vector matching may have several series per group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// Neither.
    #[default]
    OneToOne,
    /// The left one: `group_left`.
    ManyToOne,
    /// The right one: `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Eql,
    Neq,
    Lte,
    Lss,
    Gte,
    Gtr,
    TrimUpper,
    TrimLower,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Atan2,
    Pow,
}

impl BinaryOp {
    /// All operators, the loosest first.
    pub const ALL: [Self; 18] = [
        Self::Or,
        Self::And,
        Self::Unless,
        Self::Eql,
        Self::Neq,
        Self::Lte,
        Self::Lss,
        Self::Gte,
        Self::Gtr,
        Self::TrimUpper,
        Self::TrimLower,
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Atan2,
        Self::Pow,
    ];

    /// The operator's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Unless => "unless",
            Self::Eql => "==",
            Self::Neq => "!=",
            Self::Lte => "<=",
            Self::Lss => "<",
            Self::Gte => ">=",
            Self::Gtr => ">",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Atan2 => "atan2",
            Self::Pow => "^",
        }
    }

    /// `== != < <= > >=`
    pub const fn is_comparison(self) -> bool {
        matches!(self, Self::Eql | Self::Neq | Self::Lte | Self::Lss | Self::Gte | Self::Gtr)
    }

    /// `and or unless`
    pub const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// `</ >/`: trim a native histogram.
    pub const fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }
}
