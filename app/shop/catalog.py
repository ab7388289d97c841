"""What the shop sells: a fixed list, the same in every process."""

from dataclasses import dataclass

from shop.errors import UnknownProduct, quoted


@dataclass(frozen=True)
class Product:
    """A product; `sku` is its stable key (stock keeping unit), `description` is one line."""

    sku: str
    name: str
    price_cents: int
    description: str


PRODUCTS = (
    Product("honey", "Forest honey", 890, "Dark, slow, and on the spoon for good. 500 g."),
    Product("jam", "Apricot jam", 520, "More fruit than sugar; the lid will remember you. 340 g."),
    Product("labels", "Jar labels", 390, "Forty of them, and they come off again without a trace."),
    Product(
        "magnets", "Five magnets", 750, "They hold on to whatever is near. Unlike our servers."
    ),
    Product("maple", "Maple syrup", 1250, "Forty litres of sap in every bottle. 250 ml."),
    Product("milk", "Condensed milk", 240, "Sweetened, thick, and patient. 397 g."),
    Product("notes", "Sticky notes", 340, "For what you must not forget. Two hundred sheets."),
    Product("rice", "Sticky rice", 430, "Steam it, do not boil it. 1 kg."),
    Product("tape", "Paper tape", 280, "Tears by hand, holds a parcel. 50 m."),
    Product("tea", "Sticky-rice tea", 1160, "Dark tea that smells of rice just steamed. 100 g."),
    Product("toffee", "Soft toffee", 460, "Ends every conversation for a while. 200 g."),
    Product("wax", "Sealing wax", 680, "One red stick. Letters stay shut until they are opened."),
)

BY_SKU = {product.sku: product for product in PRODUCTS}


def find(sku: str) -> Product:
    """Return the product with this sku.

    Raises:
        UnknownProduct: There is none.
    """
    try:
        return BY_SKU[sku]
    except KeyError:
        text = f"No product has the sku {quoted(sku)}; GET /api/products lists them."
        raise UnknownProduct(text) from None
